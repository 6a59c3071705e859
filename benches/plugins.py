#!/usr/bin/env python3
"""What a plugin costs, by language: its start, its calls, its memory, its replacement; beside native code. Standard library only.

    benches/plugins.py [--profile release] [--seconds 1] [--rounds 2] [--sizes 64,4096,602112] [--calls 500]
        [--only process,served,pipelines,operations,swaps] [--peer HTTP_PORT:PID]

process     the contract test's plugin of each language by `nereid plugin bench`, no server: start and warm calls.
served      the same behind the server over HTTP, wrk with 8 connections: CPU time of the server process per request, over
            that of the native identity. `pass` hands its tensor on, `bytes` reads all of it and writes all of it, `fresh`
            is `pass` with a sandbox of its own for every request.
pipelines   a plugin that calls the models of the demo's ensemble beside this ensemble, one JPEG per request; and a plugin that calls an
            identity beside ensembles of two identities, and of a plugin and an identity. With `--peer` on a Triton that is up, too:
            `make_repo.py DIR`, `benches/plugins.py --write-peer DIR` with the Python that has Pillow and ONNX Runtime,
            `peer_triton.sh -l -m DIR`.
operations  operations of the host beside loops in the guest, `benches/plugins/loops.rs` and `loops.py`.
swaps       `nereid plugin push` under no load: a build that the server sees for the first time, and one that it has compiled before, step by
            step as the server's history tells it, in milliseconds. The rest is the way there: the command's own start, upload, files.

Needs `cargo build --release -p nereid-server`, `cargo xtask guests`, `cargo xtask demo` once for the pipelines, and Debian's wrk.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sysconfig
import tempfile
import time
import urllib.request

from end_to_end import INSTANCES, ROOT, STEPS, Cell, cpu_seconds, free_port, wait_for
from end_to_end import CONFIG as IDENTITY

LANGUAGES = ["rust", "c", "go", "javascript", "python"]
CONFIG = """backend: "wasm"
input [ {{ name: "X" data_type: TYPE_FP32 dims: [ {dims} ] }} ]
output [ {{ name: "{output}" data_type: TYPE_FP32 dims: [ {dims} ] }} ]
"""
FRESH = 'parameters { key: "instance_reuse" value: { string_value: "false" } }\n'
GRANTS = '[grants]\nmodels = ["left", "right", "identity"]\n'
DEMO = ["image_preprocess", "digits_cnn", "digits_cnn_large", "label_mapper", "vision_pipeline", "vision_bls"]
LOOPS = {"image": ([448, 448, 3], "448 x 448 x 3 halved and normalised"), "rank": ([10_000], "the best 5 of 10,000, softmax")}
DECODE = """backend: "wasm"
input [ { name: "X" data_type: TYPE_STRING dims: [ 1 ] } ]
output [ { name: "Y" data_type: TYPE_UINT8 dims: [ -1, -1, -1 ] } ]
"""
PICTURES = {"examples/vision/images/demo_0.jpg": "a JPEG of 256 x 256 decoded", "examples/detection/scene.png": "a PNG of 480 x 360 decoded"}
DECODER = 'image = { version = "0.25", default-features = false, features = ["jpeg", "png"] }\n'
# Each is a process, and two cores have no use for more.
PEER_INSTANCES = 2
PUSHES = 3
PUSH_STEPS = ["checked", "compiled", "loaded", "started", "warmed_up", "swapped"]
PUSH_SECONDS_MAX = 180


def write_plugin(folder: pathlib.Path, component: pathlib.Path, dims="-1", output="X", extra=""):
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG.format(dims=dims, output=output) + INSTANCES + extra)
    (folder / "plugin.toml").write_text(GRANTS)
    shutil.copy(component, folder / "1/model.wasm")


def contract(language: str) -> pathlib.Path:
    return ROOT / f"target/guests/contract_{language}.wasm"


def request(mode: str, shape: list[int]) -> dict:
    count = 1
    for extent in shape:
        count *= extent
    tensor = {"name": "X", "shape": shape, "datatype": "FP32", "data": [index % 251 for index in range(count)]}
    return {"inputs": [tensor], "parameters": {"mode": mode}}


def in_process(nereid, folder: pathlib.Path, case: dict, calls: int) -> dict[str, str]:
    """What `nereid plugin bench` says, by its first column."""
    (folder / "case.json").write_text(json.dumps(case))
    command = [nereid, "plugin", "bench", folder, "--case", folder / "case.json", "--calls", str(calls)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in output.splitlines() if re.search(r"\s{2,}", line.strip()))


@contextlib.contextmanager
def server(nereid, repository: pathlib.Path, log: pathlib.Path):
    """With compiled plugins kept between runs, so that a server that is up serves at once."""
    http, *others = (free_port() for _ in range(3))
    flags = [f"--model-repository={repository}", f"--http-port={http}", f"--plugin-cache-directory={ROOT / 'target/plugin-cache'}"]
    flags += [f"--{name}-port={port}" for name, port in zip(("grpc", "metrics"), others)]
    flags += [f"--{name}-address=127.0.0.1" for name in ("http", "grpc", "metrics")]
    flags += ["--model-control-mode=explicit", "--load-model=*"]
    with log.open("w") as output:
        process = subprocess.Popen([nereid, "serve", *flags], cwd=ROOT, stdout=output, stderr=output)
        try:
            # The first time, every language is compiled.
            wait_for(http, process, seconds=180)
            yield http, process.pid
        finally:
            process.terminate()
            process.wait(timeout=40)


class Asked(Cell):
    """A cell with a body and a length of its JSON head of its own, for wrk."""

    def __init__(self, label, size, pid, port, model, folder, head: bytes, data: bytes):
        super().__init__(label, "http", size, pid, port, model, folder, port)
        self.head, self.body = head, folder / f"{label}-{size}".replace(" ", "_")
        self.body.write_bytes(head + data)

    def command(self, seconds, connections):
        script = self.body.with_suffix(".lua")
        script.write_text(
            f"local f = assert(io.open('{self.body}', 'rb'))\nwrk.method = 'POST'\nwrk.body = f:read('*a')\nf:close()\n"
            f"wrk.headers['Inference-Header-Content-Length'] = '{len(self.head)}'\n"
            "wrk.headers['Content-Type'] = 'application/octet-stream'\n"
        )
        url = f"http://127.0.0.1:{self.port}/v2/models/{self.model}/infer"
        return ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]

    def row(self, base: float) -> str:
        cpu = statistics.median(self.cpu)
        return f"{cpu:.1f}{'' if self.agrees else ' !'} | {cpu - base:+.1f} | {statistics.median(self.rate):.0f}"


class OfTree(Asked):
    """A server of several processes: all of them count."""

    def measure(self, seconds, connections):
        before, started = tree_seconds(self.pid), self.cpu[:]
        super().measure(seconds, connections)
        self.cpu = started + [(tree_seconds(self.pid) - before) / max(1, self.rate[-1] * seconds) * 1e6]


def tree_seconds(pid: int) -> float:
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    children += [child for task in pathlib.Path(f"/proc/{pid}/task").iterdir() if task.name != str(pid)
                 for child in (task / "children").read_text().split()]  # fmt: skip
    return cpu_seconds(pid) + sum(tree_seconds(int(child)) for child in children)


def head(inputs: str, outputs: str, size: int, mode: str | None = None, shape=None, datatype="FP32") -> bytes:
    tensor = {"name": inputs, "shape": shape or [size // 4], "datatype": datatype, "parameters": {"binary_data_size": size}}
    wanted = {"name": outputs, "parameters": {"binary_data": True}}
    return json.dumps({"inputs": [tensor], "outputs": [wanted]} | ({"parameters": {"mode": mode}} if mode else {})).encode()


def rounds(cells, arguments):
    for _ in range(arguments.rounds):
        for cell in cells:
            cell.measure(arguments.seconds, 8)


def process(nereid, folder, arguments):
    print("| language | component | start, compiling | start, compiled before | first call | memory of a guest |\n" + "|---" * 6 + "|")
    calls = {}
    for language in LANGUAGES:
        plugin = folder / language
        write_plugin(plugin, contract(language))
        for mode in ("pass", "bytes", "identity"):
            for size in map(int, arguments.sizes.split(",")):
                case = {"request": request(mode, [size // 4])}
                found = in_process(nereid, plugin, case, arguments.calls if mode != "identity" else 20)
                calls[language, mode, size] = found["warm call, median"]
                if (mode, size) == ("pass", 64):
                    starts = [found[name] for name in ("start, compiling", "start, compiled before", "first call", "memory of a guest")]
                    print(f"| {language} | {contract(language).stat().st_size / 1e6:.2f} MB | {' | '.join(starts)} |", flush=True)
    sizes = list(map(int, arguments.sizes.split(",")))
    print("\n| language | does | " + " | ".join(f"{size} B" for size in sizes) + " |\n" + "|---" * (len(sizes) + 2) + "|")
    for language in LANGUAGES:
        for mode in ("pass", "bytes", "identity"):
            print(f"| {language} | {mode} | " + " | ".join(calls[language, mode, size] for size in sizes) + " |")


def write_served(models: pathlib.Path):
    for name in ("identity", "left", "right"):
        (models / name / "1").mkdir(parents=True)
        (models / name / "config.pbtxt").write_text(IDENTITY.format(backend='backend: "identity"') + INSTANCES)
    for language in LANGUAGES:
        write_plugin(models / language, contract(language))
        write_plugin(models / f"{language}_fresh", contract(language), extra=FRESH)


def served(nereid, folder, arguments):
    write_served(folder / "models")
    with server(nereid, folder / "models", folder / "log") as (port, pid):
        print("| bytes | model | CPU µs per request | over native | requests/s |\n" + "|---" * 5 + "|")
        for size in map(int, arguments.sizes.split(",")):
            make = lambda label, model, *names: Asked(label, size, pid, port, model, folder, head(*names[:2], size, *names[2:]), bytes(size))  # noqa: E731
            cells = [make("native identity", "identity", "INPUT0", "OUTPUT0")]
            for language in LANGUAGES:
                cells += [make(f"{language} {mode}", language, "X", "X", mode) for mode in ("pass", "bytes")]
                cells += [make(f"{language} fresh", f"{language}_fresh", "X", "X", "pass")]
            rounds(cells, arguments)
            for cell in cells:
                print(f"| {size} | {cell.label} | {cell.row(statistics.median(cells[0].cpu))} |", flush=True)


def pipelines(nereid, folder, arguments):
    models = folder / "models"
    for name in DEMO:
        shutil.copytree(ROOT / "model_repository" / name, models / name)
    for name in ("image_preprocess", "label_mapper", "vision_bls"):
        (models / name / "1").mkdir(exist_ok=True)
        shutil.copy(ROOT / f"target/guests/{name}.wasm", models / name / "1/model.wasm")
    (models / "identity/1").mkdir(parents=True)
    (models / "identity/config.pbtxt").write_text(IDENTITY.format(backend='backend: "identity"') + INSTANCES)
    (models / "ensemble2/1").mkdir(parents=True)
    (models / "ensemble2/config.pbtxt").write_text(IDENTITY.format(backend='platform: "ensemble"') + STEPS)
    # What the plugin `bls` does by itself, and the model that it calls.
    (models / "plugin_ensemble2/1").mkdir(parents=True)
    steps = STEPS.replace('"identity"', '"pass"', 1)
    (models / "plugin_ensemble2/config.pbtxt").write_text(IDENTITY.format(backend='platform: "ensemble"') + steps)
    for name, component in (("bls", "relay"), ("pass", "identity")):
        write_plugin(models / name, ROOT / f"target/guests/{component}.wasm")
        (models / name / "config.pbtxt").write_text(IDENTITY.format(backend='backend: "wasm"') + INSTANCES)
    image = (ROOT / "examples/vision/images/demo_0.jpg").read_bytes()
    image = len(image).to_bytes(4, "little") + image
    with server(nereid, models, folder / "log") as (port, pid):
        targets = [("", Asked, port, pid, ["ensemble2", "plugin_ensemble2"])]
        if arguments.peer:
            peer_port, peer_pid = map(int, arguments.peer.split(":"))
            targets.append(("Triton ", OfTree, peer_port, peer_pid, ["ensemble2"]))
        cells, pairs = [], []

        def compare(who, kind, size, at, pid, ensembles, bls, *asked):
            found = [kind(f"{who}{name}", size, pid, at, name, folder, *asked) for name in (*ensembles, bls)]
            cells.extend(found)
            pairs.extend((ensemble, found[-1]) for ensemble in found[:-1])

        for who, kind, at, pid, _ in targets:
            asked = (head("image", "label", len(image), None, [1, 1], "BYTES"), image)
            compare(who, kind, len(image), at, pid, ["vision_pipeline"], "vision_bls", *asked)
        for size in map(int, arguments.sizes.split(",")):
            for who, kind, at, pid, ensembles in targets:
                compare(who, kind, size, at, pid, ensembles, "bls", head("INPUT0", "OUTPUT0", size), bytes(size))
        rounds(cells, arguments)
    print("| ensemble | bytes | CPU µs per request | as BLS | ratio | requests/s, ensemble; BLS |\n" + "|---" * 6 + "|")
    for ensemble, bls in pairs:
        ratio = statistics.median(there / here for here, there in zip(ensemble.cpu, bls.cpu))
        cpu = [statistics.median(cell.cpu) for cell in (ensemble, bls)]
        rates = "; ".join(f"{statistics.median(cell.rate):.0f}" for cell in (ensemble, bls))
        print(f"| {ensemble.label} | {ensemble.size} | {cpu[0]:.1f} | {cpu[1]:.1f} | {ratio:.2f} | {rates} |", flush=True)


def write_peer(models: pathlib.Path):
    """The demo's models for a Triton that has its Python backend alone, beside those of `make_repo.py`: the same names and configurations."""
    (models / "packages.txt").write_text(sysconfig.get_paths()["purelib"])
    for name in DEMO:
        (models / name / "1").mkdir(parents=True, exist_ok=True)
        # The larger network's tensors stand in its file, which Triton does not look into for Python.
        config = (ROOT / "model_repository" / name.removesuffix("_large") / "config.pbtxt").read_text()
        config = re.sub(r'backend: "\w+"', 'backend: "python"', config)
        (models / name / "config.pbtxt").write_text(re.sub(r"count: \d+", f"count: {PEER_INSTANCES}", config))
        if "backend:" in config:
            shutil.copy(ROOT / "benches/plugins/triton_vision.py", models / name / "1/model.py")
        if name.startswith("digits"):
            shutil.copy(ROOT / "model_repository" / name / "1/model.onnx", models / name / "1/model.onnx")


def operations(nereid, folder, arguments):
    print("| language | computes | loops of the guest | operations of the host |\n|---|---|---|---|")
    for language, source in (("rust", "src/lib.rs"), ("python", "plugin.py")):
        plugin = ROOT / f"target/bench-plugins/loops_{language}"
        if not (plugin / "1/model.wasm").exists():
            build_loops(nereid, plugin, language, source)
        median = lambda mode, case: in_process(nereid, plugin, case(mode), 20)["warm call, median"]  # noqa: B023, E731
        for name, (shape, title) in LOOPS.items():
            dims = ", ".join(["-1"] * len(shape))
            (plugin / "config.pbtxt").write_text(CONFIG.format(dims=dims, output="Y") + INSTANCES)
            loop, host = (median(f"{name}_{how}", lambda mode: {"request": request(mode, shape)}) for how in ("loop", "host"))  # noqa: B023
            print(f"| {language} | {title} | {loop} | {host} |", flush=True)
        (plugin / "config.pbtxt").write_text(DECODE + INSTANCES)
        for picture, title in PICTURES.items():
            case = lambda mode: {"request": {"inputs": [], "parameters": {"mode": mode}}, "files": {"X": str(ROOT / picture)}}  # noqa: B023, E731
            # Python has no decoder of its own.
            loop = median("decode_loop", case) if language == "rust" else "none"
            print(f"| {language} | {title} | {loop} | {median('decode_host', case)} |", flush=True)


def build_loops(nereid, plugin, language, source):
    shutil.rmtree(plugin, ignore_errors=True)
    plugin.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([nereid, "plugin", "new", "--lang", language, plugin], cwd=ROOT, capture_output=True, check=True)
    shutil.copy(ROOT / "benches/plugins" / f"loops{pathlib.Path(source).suffix}", plugin / source)
    if language == "rust":
        manifest = plugin / "Cargo.toml"
        manifest.write_text(manifest.read_text().replace("[dependencies]\n", f"[dependencies]\n{DECODER}"))
    subprocess.run([nereid, "plugin", "build", plugin], cwd=ROOT, capture_output=True, check=True)


def swaps(nereid, folder, arguments):
    """Each build is a component with a section of its own behind it, so that the first push compiles it and the second does not."""
    models = folder / "models"
    for language in LANGUAGES:
        write_plugin(models / language, contract(language))
    with server(nereid, models, folder / "log") as (port, _):
        print(f"| language | build | whole | {' | '.join(PUSH_STEPS)} | the rest | to the first answer |\n" + "|---" * (len(PUSH_STEPS) + 5) + "|")
        for language in LANGUAGES:
            new, again, answers = [], [], []
            for number in range(PUSHES):
                build = folder / f"{language}-{number}.wasm"
                content = os.urandom(8)
                build.write_bytes(contract(language).read_bytes() + bytes([0, 6 + len(content), 5]) + b"bench" + content)
                for file, times in ((build, new), (contract(language), None), (build, again)):
                    taken = push(nereid, language, file, port)
                    if times is not None:
                        times.append(taken)
                        answers.append(first_answer(language, port))
            for build, times in (("new", new), ("known", again)):
                cells = [f"{1000 * statistics.median(column):.1f}" for column in (*zip(*times), answers)]
                print(f"| {language} | {build} | {' | '.join(cells)} |", flush=True)


def push(nereid, model, file, port) -> list[float]:
    """Seconds of the whole command, of each step as the server's history tells it, and of the rest."""
    started, url = time.perf_counter(), f"http://127.0.0.1:{port}"
    command = [nereid, "plugin", "push", model, file, "--url", url]
    subprocess.run(command, capture_output=True, check=True, timeout=PUSH_SECONDS_MAX)
    whole = time.perf_counter() - started
    with urllib.request.urlopen(f"{url}/v2/debug/models/{model}/generations", timeout=10) as answer:
        generation = json.load(answer)["models"][0]["generations"][-1]
    taken = {step["name"]: step["time_us"] / 1e6 for step in generation["steps"]}
    steps = [taken.get(step, 0.0) for step in PUSH_STEPS]
    return [whole, *steps, whole - sum(steps)]


def first_answer(model, port) -> float:
    started = time.perf_counter()
    body = json.dumps(request("pass", [4])).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/{model}/infer", body) as answer:
        answer.read()
    return time.perf_counter() - started


PARTS = {"process": process, "served": served, "pipelines": pipelines, "operations": operations, "swaps": swaps}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="release")
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--sizes", default="64,4096,602112")
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--peer", help="HTTP port and process of a Triton that serves the repository of peer_triton.sh")
    parser.add_argument("--write-peer", type=pathlib.Path, help="writes the demo's models for that Triton into this folder, and ends")
    arguments = parser.parse_args()
    if arguments.write_peer:
        return write_peer(arguments.write_peer)
    nereid = ROOT / "target" / {"dev": "debug"}.get(arguments.profile, arguments.profile) / "nereid"
    for part in arguments.only.split(","):
        with tempfile.TemporaryDirectory() as folder:
            print(f"\n{part}, load average {os.getloadavg()[0]:.1f}\n", flush=True)
            PARTS[part](nereid, pathlib.Path(folder), arguments)


if __name__ == "__main__":
    main()
