#!/usr/bin/env python3
"""CPU time per request of the whole server, beside a bare echo of the same bytes. Standard library only.

    benches/end_to_end.py [--profile release] [--seconds 4] [--rounds 3] [--connections 8] [--sizes 64,4096,602112]

Starts, on loopback and on ports of their own: `nereid serve` with a repository made for the purpose (identity through
the native backend, identity through a WebAssembly plugin, an ensemble of two identities, a plugin that calls one), a
bare hyper echo and a bare tonic echo. Loads each in turn with wrk (HTTP) and h2load (gRPC), round by round so that noise
of the machine hits all alike, and prints a table of medians: server CPU microseconds per request (user + system, whole
process), requests per second, and the ratio of the CPU figures to the echo. CPU time is the figure to compare: on a
shared machine requests per second say little.

Needs: `cargo build --release -p nereid-server -p nereid-benches`, `cargo xtask guests`, and Debian's `wrk` and
`nghttp2-client`. Every request is counted by the server itself too; a cell whose counts disagree is marked with '!'.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# What each model is: a backend and, for a plugin, its component below target/guests.
MODELS = {
    "identity": ("identity", None),
    "identity_wasm": ("wasm", "identity"),
    "ensemble2": ("ensemble", None),
    "bls_wasm": ("wasm", "relay"),
}
CONFIG = """{backend}
input [ {{ name: "INPUT0" data_type: TYPE_FP32 dims: [ -1 ] }} ]
output [ {{ name: "OUTPUT0" data_type: TYPE_FP32 dims: [ -1 ] }} ]
"""
INSTANCES = "instance_group [ { kind: KIND_CPU count: 8 } ]\n"
STEPS = """ensemble_scheduling { step [
  { model_name: "identity" model_version: -1 input_map { key: "INPUT0" value: "INPUT0" } output_map { key: "OUTPUT0" value: "middle" } },
  { model_name: "identity" model_version: -1 input_map { key: "INPUT0" value: "middle" } output_map { key: "OUTPUT0" value: "OUTPUT0" } }
] }
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def write_repository(folder, guests):
    for name, (backend, component) in MODELS.items():
        version = folder / name / "1"
        version.mkdir(parents=True)
        is_ensemble = backend == "ensemble"
        config = CONFIG.format(backend=f'platform: "{backend}"' if is_ensemble else f'backend: "{backend}"')
        (folder / name / "config.pbtxt").write_text(config + (STEPS if is_ensemble else INSTANCES))
        if component:
            (folder / name / "plugin.toml").write_text('[grants]\nmodels = ["identity"]\n')
            shutil.copy(guests / f"{component}.wasm", version / "model.wasm")


def http_body(floats):
    header = json.dumps(
        {
            "inputs": [
                {"name": "INPUT0", "shape": [floats], "datatype": "FP32", "parameters": {"binary_data_size": floats * 4}}
            ],
            "outputs": [{"name": "OUTPUT0", "parameters": {"binary_data": True}}],
        },
        separators=(",", ":"),
    ).encode()
    return header, header + bytes(floats * 4)


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def grpc_body(model, floats):
    tensor = field(1, b"INPUT0") + field(2, b"FP32") + field(3, varint(floats))
    message = field(1, model.encode()) + field(5, tensor) + field(7, bytes(floats * 4))
    return b"\0" + struct.pack(">I", len(message)) + message


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def wait_for(port, process, path="/v2/health/ready", seconds=30):
    for _ in range(20 * seconds):
        if process.poll() is not None:
            sys.exit(f"the server on port {port} ended with code {process.returncode}")
        try:
            if path is None:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                return
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing answers on port {port} after {seconds} s")


def successes(port, model):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/{model}/stats") as answer:
        return json.load(answer)["model_stats"][0]["inference_stats"]["success"]["count"]


class Cell:
    """One server under one kind of request."""

    def __init__(self, label, protocol, size, pid, port, model, folder, count_port):
        self.label, self.protocol, self.size, self.pid, self.port = label, protocol, size, pid, port
        self.model, self.folder, self.count_port = model, folder, count_port
        self.cpu, self.rate, self.agrees = [], [], True

    def command(self, seconds, connections):
        floats = self.size // 4
        path = f"/v2/models/{self.model or 'identity'}/infer"
        body = self.folder / f"{self.protocol}-{self.model or 'identity'}-{self.size}.body"
        if self.protocol == "http":
            header, data = http_body(floats)
            body.write_bytes(data)
            script = self.folder / f"{body.name}.lua"
            script.write_text(
                "local f = assert(io.open('%s', 'rb'))\n"
                "wrk.method = 'POST'\nwrk.body = f:read('*a')\nf:close()\n"
                "wrk.headers['Inference-Header-Content-Length'] = '%d'\n"
                "wrk.headers['Content-Type'] = 'application/octet-stream'\n" % (body, len(header))
            )
            url = f"http://127.0.0.1:{self.port}{path}"
            return ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
        body.write_bytes(grpc_body(self.model or "identity", floats))
        url = f"http://127.0.0.1:{self.port}/inference.GRPCInferenceService/ModelInfer"
        return [
            "h2load", "-t1", "-c1", f"-m{connections}", f"-D{seconds}", "-d", str(body),
            "-H", "content-type: application/grpc", "-H", "te: trailers", "-w24", "-W24", url,
        ]

    def measure(self, seconds, connections):
        counted = successes(self.count_port, self.model) if self.model else 0
        before = cpu_seconds(self.pid)
        output = subprocess.run(self.command(seconds, connections), capture_output=True, text=True, check=True).stdout
        spent = cpu_seconds(self.pid) - before
        pattern = r"(\d+) requests in" if self.protocol == "http" else r"requests: (\d+) total"
        requests = int(re.search(pattern, output).group(1))
        failed = re.search(r"Non-2xx or 3xx responses: (\d+)", output) if self.protocol == "http" else None
        if self.model:
            served = successes(self.count_port, self.model) - counted
            self.agrees &= abs(served - requests) <= max(connections * 2, requests // 100)
        self.agrees &= failed is None
        self.cpu.append(spent / max(1, requests) * 1e6)
        self.rate.append(requests / seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--profile", default="release")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--sizes", default="64,4096,602112")
    arguments = parser.parse_args()
    for tool, package in (("wrk", "wrk"), ("h2load", "nghttp2-client")):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing: apt-get install {package}")
    target = ROOT / "target" / ("debug" if arguments.profile == "dev" else arguments.profile)
    guests = ROOT / "target" / "guests"
    for needed, command in (
        (target / "nereid", "cargo build --release -p nereid-server"),
        (target / "echo_http", "cargo build --release -p nereid-benches"),
        (guests / "relay.wasm", "cargo xtask guests"),
    ):
        if not needed.exists():
            sys.exit(f"{needed.relative_to(ROOT)} is missing: {command}")

    folder = pathlib.Path(tempfile.mkdtemp(prefix="nereid-bench-"))
    write_repository(folder / "models", guests)
    http, grpc, metrics, echo_http, echo_grpc = (free_port() for _ in range(5))
    log = open(folder / "nereid.log", "w")
    processes = []

    def start(*command):
        processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        return processes[-1]

    try:
        nereid = start(
            str(target / "nereid"), "serve", f"--model-repository={folder / 'models'}", f"--http-port={http}",
            f"--grpc-port={grpc}", f"--metrics-port={metrics}", "--http-address=127.0.0.1",
            "--grpc-address=127.0.0.1", "--metrics-address=127.0.0.1",
        )
        bare_http = start(str(target / "echo_http"), f"127.0.0.1:{echo_http}")
        bare_grpc = start(str(target / "echo_grpc"), f"127.0.0.1:{echo_grpc}")
        wait_for(http, nereid)
        wait_for(echo_http, bare_http, None)
        wait_for(echo_grpc, bare_grpc, None)
        cells = []
        for protocol, port, bare, bare_port in (("http", http, bare_http, echo_http), ("grpc", grpc, bare_grpc, echo_grpc)):
            for size in map(int, arguments.sizes.split(",")):
                cells.append(Cell("bare echo", protocol, size, bare.pid, bare_port, "", folder, http))
                for model in MODELS:
                    cells.append(Cell(model, protocol, size, nereid.pid, port, model, folder, http))
        for number in range(arguments.rounds):
            for index, cell in enumerate(cells):
                progress = f"round {number + 1}/{arguments.rounds}, cell {index + 1}/{len(cells)}: {cell.protocol} {cell.size} {cell.label}"
                print(f"\r{progress:<78}", end="", file=sys.stderr, flush=True)
                cell.measure(arguments.seconds, arguments.connections)
        print(f"\r{'':<78}\r", end="", file=sys.stderr)
        print_table(cells, arguments)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=40)
        log.close()
        if all(process.returncode is not None for process in processes):
            shutil.rmtree(folder, ignore_errors=True)


def print_table(cells, arguments):
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"{arguments.profile} build, {os.cpu_count()} cores, {arguments.connections} connections or streams, "
        f"{arguments.rounds} rounds of {arguments.seconds} s, medians; load average at the end {load}\n"
    )
    print("| protocol | bytes | server | CPU µs/request | ratio to echo | requests/s |")
    print("|---|---|---|---|---|---|")
    echo = None
    for cell in cells:
        cpu = statistics.median(cell.cpu)
        echo = cpu if cell.label == "bare echo" else echo
        mark = "" if cell.agrees else " !"
        print(
            f"| {cell.protocol} | {cell.size} | {cell.label} | {cpu:.1f}{mark} | {cpu / echo:.2f} | "
            f"{statistics.median(cell.rate):.0f} |"
        )


if __name__ == "__main__":
    main()
