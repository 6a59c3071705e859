#!/usr/bin/env python3
"""Backends behind the server, beside their frameworks in process. Standard library only.

    benches/backends.py [--profile release] [--seconds 2] [--rounds 2] [--batches 1,8,64] [--only pytorch,openvino]
        [--openvino-python PYTHON] [--forests-python PYTHON] [--target FOLDER]

A model of each is executed in process, on one thread, by `raw_onnx`, `raw_torch` (compiled here, with g++), `raw_openvino.py` and,
where `--only` names `fil`, `raw_forest.py` of each forest framework (by Pythons that have these packages). And a server serves it with one instance, asked over HTTP by two clients that
send a whole batch at a time, so that one batch waits while another is computed. Raw and served take turns, with a server of its
own for each backend and round; a row of the table holds the medians of the rounds. `computing` is the share of the time that the instance was in the
library's run call: what is missing to 1 is what scheduler, protocol and client cost it; what else is missing to the raw rate,
the machine. ONNX Runtime and OpenVINO are given the same file.

Processor time is that of the whole process on either side, and holds on a busy machine too, where rates do not. The clients
compute on the same machine.

Needs `cargo build --release -p nereid-server -p nereid-benches` and `cargo xtask backend onnxruntime pytorch openvino`.
"""
import argparse
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from end_to_end import ROOT, cpu_seconds, free_port, wait_for

CLIENTS, WARMUP_REQUESTS, TORCH_LAYERS = 2, 5, 8
IDLE_SECONDS = 0.5
# Floats of a row: of networks in and out.
LAYERS = (1024, 1024)
# Forests by their names in `raw_forest.py`: the file, `model_type`, and floats of a row in and out.
FORESTS = {
    "xgboost": ("xgboost.ubj", "xgboost_ubj", (28, 2)),
    "lightgbm": ("model.txt", "lightgbm", (28, 2)),
    "random_forest": ("forest.json", "nereid_forest", (28, 2)),
    "boosted": ("forest.json", "nereid_forest", (28, 2)),
}
CONFIG = """backend: "{backend}"
max_batch_size: {rows_max}
input [ {{ name: "{input}" data_type: TYPE_FP32 dims: [ {width} ] }} ]
output [ {{ name: "{output}" data_type: TYPE_FP32 dims: [ {output_width} ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
{parameters}
model_warmup [ {warmup} ]
"""
PARAMETER = """parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}"""
# Weights that a library lays out anew when it sees a batch size for the first time are put into huge pages then.
WARMUP = """{{ name: "{rows}" batch_size: {rows} inputs {{ key: "{input}" value {{ data_type: TYPE_FP32 dims: [ {width} ] zero_data: true }} }} }}"""
ONNX_MODEL = ROOT / "tests/models/batch_gain_long.onnx"
TORCH = ROOT / ".nereid/pytorch"


class Side:
    """What one side did: rows per second, and microseconds of processor time per row, round by round."""

    def __init__(self):
        self.rates, self.cpu = [], []

    @property
    def rate(self):
        return statistics.median(self.rates)

    @property
    def cpu_us(self):
        return statistics.median(self.cpu)


class Backend:
    """A framework: how it is executed in process, and how its model is served."""

    def __init__(self, name, raw, model, served_as, tensors, widths=LAYERS, backend=None, parameters=None):
        self.backend, self.parameters = backend or name, parameters or {}
        self.name, self.raw, self.model, self.served_as, (self.input, self.output) = name, raw, model, served_as, tensors
        self.width, self.output_width = widths
        self.sides = {}

    def write(self, repository, batches):
        version = repository / self.name / "1"
        version.mkdir(parents=True)
        shutil.copy(self.model, version / self.served_as)
        warmup = ", ".join(WARMUP.format(rows=rows, input=self.input, width=self.width) for rows in batches)
        config = CONFIG.format(
            backend=self.backend, parameters="\n".join(PARAMETER.format(key=key, value=value) for key, value in self.parameters.items()),
            rows_max=max(batches), input=self.input, output=self.output, width=self.width,
            output_width=self.output_width, warmup=warmup,
        )  # fmt: skip
        (version.parent / "config.pbtxt").write_text(config)

    def measure_raw(self, seconds, batch):
        output = subprocess.run(self.raw(seconds, batch), stdout=subprocess.PIPE, text=True, check=True).stdout
        found = json.loads(output)
        self.sides.setdefault((batch, "milliseconds"), []).append(found["milliseconds"])
        side = self.sides.setdefault((batch, "raw"), Side())
        side.rates.append(found["rows_per_second"])
        side.cpu.append(found["cpu_us_per_row"])

    def measure_served(self, seconds, batch, port, pid):
        clients = [Client(self, batch, port) for _ in range(CLIENTS)]
        computed_ns, spent, start = self.computed_ns(port), cpu_seconds(pid), time.monotonic()
        for client in clients:
            client.end = start + seconds
            client.start()
        for client in clients:
            client.join()
            if client.failure:
                raise client.failure
        elapsed, spent = time.monotonic() - start, cpu_seconds(pid) - spent
        self.sides.setdefault((batch, "computing"), []).append((self.computed_ns(port) - computed_ns) / 1e9 / elapsed)
        rows = sum(client.answers for client in clients) * batch
        side = self.sides.setdefault((batch, "served"), Side())
        side.rates.append(rows / elapsed)
        side.cpu.append(spent / rows * 1e6)

    def computed_ns(self, port):
        """Nanoseconds that the instance was in the library's run call so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/{self.name}/stats") as answer:
            return sum(batch["compute_infer"]["ns"] for batch in json.load(answer)["model_stats"][0]["batch_stats"])

    def row(self, batch):
        raw, served = self.sides[batch, "raw"], self.sides[batch, "served"]
        milliseconds, computing = (statistics.median(self.sides[batch, name]) for name in ("milliseconds", "computing"))
        return (
            f"| {self.name} | {batch} | {milliseconds:.2f} | {raw.rate:.0f} | {served.rate:.0f} | {served.rate / raw.rate:.2f} "
            f"| {computing:.2f} | {raw.cpu_us:.1f} | {served.cpu_us:.1f} | {raw.cpu_us / served.cpu_us:.2f} |"
        )


class Client(threading.Thread):
    """Sends one batch after the other over a connection of its own, and counts the answers."""

    def __init__(self, backend, batch, port):
        super().__init__()
        size = batch * backend.width * 4
        header = json.dumps({
            "inputs": [{"name": backend.input, "shape": [batch, backend.width], "datatype": "FP32",
                        "parameters": {"binary_data_size": size}}],
            "outputs": [{"name": backend.output, "parameters": {"binary_data": True}}],
        }).encode()  # fmt: skip
        self.body, self.answers, self.end, self.failure = header + bytes(size), 0, 0.0, None
        self.path = f"/v2/models/{backend.name}/infer"
        self.headers = {"Inference-Header-Content-Length": str(len(header))}
        self.connection = http.client.HTTPConnection("127.0.0.1", port)
        for _ in range(WARMUP_REQUESTS):
            self.ask()

    def ask(self):
        self.connection.request("POST", self.path, self.body, self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{self.path} answered {answer.status}: {text[:500]!r}")

    def run(self):
        try:
            while time.monotonic() < self.end:
                self.ask()
                self.answers += 1
        except Exception as failure:
            self.failure = failure


def compile_raw_torch(folder):
    """LibTorch is linked as the shim links it."""
    program, include = folder / "raw_torch", TORCH / "include"
    subprocess.run(
        ["g++", "-std=c++17", "-O2", "-isystem", include, "-isystem", include / "torch/csrc/api/include",
         ROOT / "benches/raw_torch.cpp", "-o", program, "-L", TORCH / "lib", "-Wl,--no-as-needed", "-ltorch_cpu", "-lc10",
         "-Wl,--allow-shlib-undefined", f"-Wl,-rpath,{TORCH / 'lib'}"],
        check=True,
    )  # fmt: skip
    return program


def backends(names, target, folder, openvino_python, forests_python):
    made = []
    if "onnxruntime" in names:
        library = next((ROOT / ".nereid/onnxruntime").glob("libonnxruntime.so*"))
        raw = lambda seconds, batch: [target / "raw_onnx", library, ONNX_MODEL, str(seconds), "1", str(batch)]  # noqa: E731
        made.append(Backend("onnxruntime", raw, ONNX_MODEL, "model.onnx", ("X", "Y")))
    if "pytorch" in names:
        program, model = compile_raw_torch(folder), folder / "layers.pt"
        subprocess.run([program, "make", model, str(TORCH_LAYERS)], check=True)
        raw_torch = lambda seconds, batch: [program, "run", model, str(seconds), str(batch)]  # noqa: E731
        made.append(Backend("pytorch", raw_torch, model, "model.pt", ("INPUT__0", "OUTPUT__0")))
    if "openvino" in names:
        script = ROOT / "benches/raw_openvino.py"
        raw_openvino = lambda seconds, batch: [openvino_python, script, ONNX_MODEL, str(seconds), str(batch)]  # noqa: E731
        made.append(Backend("openvino", raw_openvino, ONNX_MODEL, "model.onnx", ("X", "Y")))
    for kind, (file, model_type, widths) in FORESTS.items() if "fil" in names else ():
        program, own = [forests_python, ROOT / "benches/raw_forest.py"], folder / kind
        own.mkdir()
        subprocess.run([*program, "make", kind, own], check=True)
        raw = lambda seconds, batch, run=(*program, "run", kind, own): [*run, str(seconds), str(batch)]  # noqa: E731
        parameters, ends = {"model_type": model_type, "predict_proba": "true"}, ("input__0", "output__0")
        made.append(Backend(f"fil_{kind}", raw, own / file, file, ends, widths, "fil", parameters))
    return made


@contextlib.contextmanager
def server(target, folder, backend):
    port, *others = (free_port() for _ in range(3))
    flags = [f"--model-repository={folder / 'models' / backend.name}", f"--http-port={port}"]
    flags += [f"--{name}-port={other}" for name, other in zip(("grpc", "metrics"), others)]
    flags += [f"--{name}-address=127.0.0.1" for name in ("http", "grpc", "metrics")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([target / "nereid", "serve", *flags], cwd=ROOT, stdout=log, stderr=log)
        try:
            wait_for(port, process)
            wait_until_idle(process.pid)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(timeout=40)


def wait_until_idle(pid):
    """Weights are put into huge pages after the models are ready."""
    spent = None
    while spent != (spent := cpu_seconds(pid)):
        time.sleep(IDLE_SECONDS)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="release")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batches", default="1,8,64")
    parser.add_argument("--only", default="onnxruntime,pytorch,openvino")
    parser.add_argument("--openvino-python", default=sys.executable)
    parser.add_argument("--forests-python", default=sys.executable)
    parser.add_argument("--target", type=pathlib.Path, default=ROOT / "target")
    arguments = parser.parse_args()
    target = arguments.target / {"dev": "debug"}.get(arguments.profile, arguments.profile)
    batches = [int(batch) for batch in arguments.batches.split(",")]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        pythons = arguments.openvino_python, arguments.forests_python
        measured = backends(arguments.only.split(","), target, folder, *pythons)
        for backend in measured:
            backend.write(folder / "models" / backend.name, batches)
        for _ in range(arguments.rounds):
            for backend in measured:
                # Anew each time, as the raw programs are: where weights come to lie in memory changes what a run takes.
                with server(target, folder, backend) as (port, pid):
                    for batch in batches:
                        backend.measure_raw(arguments.seconds, batch)
                        backend.measure_served(arguments.seconds, batch, port, pid)
    print(f"load average {os.getloadavg()[0]:.1f}\n")
    print("| backend | batch | raw, ms per run | raw rows/s | served rows/s | ratio | computing | raw CPU µs/row | served CPU µs/row | ratio |")
    print("|---" * 10 + "|")
    for backend in measured:
        for batch in batches:
            print(backend.row(batch), flush=True)


main()
