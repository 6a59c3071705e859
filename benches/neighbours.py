#!/usr/bin/env python3
"""What a hostile plugin does to its neighbours' latencies. Standard library only.

    benches/neighbours.py [--profile release] [--rate 200] [--seconds 4] [--rounds 3] [--cpu-ms 20] [--kinds loop,flood-log]
        [--builds before=PATH,after=PATH]

One server serves two plugins: a well-behaved identity and `hostile`, which spins, traps, allocates, recurses or floods the log as a
request asks. The neighbour is asked at a steady rate, first alone, then while the other gets a tenth as many requests of one kind. Kinds
and builds take turns, round by round, and a row has the medians of the rounds: what the neighbour's clients saw, failures, and
percentiles of the time from when a request was due to its answer, so that a server that keeps a client waiting does not hide the
requests that were due meanwhile.

Needs `cargo build -p nereid-server --release` (or `--profile dev` for target/debug) and `cargo xtask guests`.
"""
import argparse
import contextlib
import http.client
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from end_to_end import CONFIG, INSTANCES, ROOT, free_port, wait_for

KINDS = ["error", "panic", "allocate", "recurse", "flood-log", "huge-output", "loop"]
CONNECTIONS = 8
# One that is let rest does nobody harm.
RESTLESS = 'parameters { key: "breaker_failures" value: { string_value: "0" } }\n'


def write_repository(folder: pathlib.Path, cpu_ms: int):
    for guest in ("identity", "hostile"):
        version = folder / guest / "1"
        version.mkdir(parents=True)
        (folder / guest / "config.pbtxt").write_text(CONFIG.format(backend='backend: "wasm"') + INSTANCES + RESTLESS)
        (folder / guest / "plugin.toml").write_text(f"[limits]\ncpu_ms = {cpu_ms}\n")
        shutil.copy(ROOT / f"target/guests/{guest}.wasm", version / "model.wasm")


def body(mode: str | None) -> bytes:
    tensor = {"name": "INPUT0", "shape": [4], "datatype": "FP32", "data": [1, 2, 3, 4]}
    return json.dumps({"inputs": [tensor]} | ({"parameters": {"mode": mode}} if mode else {})).encode()


class Load:
    """Requests to one model at a steady rate over some connections; open loop."""

    def __init__(self, port: int, model: str, mode: str | None, rate: float, seconds: float):
        self.port, self.path, self.body = port, f"/v2/models/{model}/infer", body(mode)
        self.latencies, self.failures = [], 0
        self.threads = [
            threading.Thread(target=self.run, args=(rate / CONNECTIONS, seconds, index / rate)) for index in range(CONNECTIONS)
        ]
        [thread.start() for thread in self.threads]

    def run(self, rate: float, seconds: float, offset: float):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        started = time.perf_counter() + offset
        for index in range(int(rate * seconds)):
            due = started + index / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            connection.request("POST", self.path, self.body)
            answer = connection.getresponse()
            answer.read()
            self.latencies.append(time.perf_counter() - due)
            self.failures += answer.status != 200

    def join(self):
        [thread.join() for thread in self.threads]
        return self

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@contextlib.contextmanager
def served(binary: pathlib.Path, folder: str):
    """The port of a server of this repository."""
    port, grpc_port, metrics_port = free_port(), free_port(), free_port()
    flags = [f"--http-port={port}", f"--grpc-port={grpc_port}", f"--metrics-port={metrics_port}", "--log-info=false"]
    command = [binary, "serve", f"--model-repository={folder}", "--http-address=127.0.0.1", *flags, "--log-warning=false"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait()


class Cell:
    """One kind beside one build, over all rounds."""

    def __init__(self, kind: str, build: str):
        self.kind, self.build, self.alone, self.beside = kind, build, [], []

    def measure(self, port: int, rate: float, seconds: float):
        self.alone.append(Load(port, "identity", None, rate, seconds / 2).join())
        other = None if self.kind == "nothing" else Load(port, "hostile", self.kind, rate / 10, seconds)
        self.beside.append(Load(port, "identity", None, rate, seconds).join())
        if other:
            other.join()

    def row(self) -> str:
        requests = sum(len(load.latencies) for load in self.beside)
        failures = sum(load.failures for load in self.alone + self.beside)
        half, most, alone = (
            statistics.median(load.percentile(share) for load in loads)
            for share, loads in ((0.5, self.beside), (0.99, self.beside), (0.99, self.alone))
        )
        return f"| {self.kind} | {self.build} | {requests} | {failures} | {half:.2f} | {most:.2f} | {alone:.2f} | {most / alone:.2f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--profile", default="release")
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpu-ms", type=int, default=20)
    parser.add_argument("--kinds", default=",".join(["nothing", *KINDS]))
    parser.add_argument("--builds", help="NAME=PATH,NAME=PATH: several servers, which take turns")
    arguments = parser.parse_args()
    builds = {"": ROOT / "target" / {"dev": "debug"}.get(arguments.profile, arguments.profile) / "nereid"}
    if arguments.builds:
        builds = {name: pathlib.Path(path) for name, path in (build.split("=", 1) for build in arguments.builds.split(","))}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        write_repository(pathlib.Path(folder), arguments.cpu_ms)
        ports = {name: stack.enter_context(served(binary, folder)) for name, binary in builds.items()}
        cells = [Cell(kind, build) for kind in arguments.kinds.split(",") for build in builds]
        [Load(port, "identity", None, arguments.rate, 2).join() for port in ports.values()]
        for number in range(arguments.rounds):
            print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
            for cell in cells:
                cell.measure(ports[cell.build], arguments.rate, arguments.seconds)
    print("| beside it | build | neighbour's requests | failures | p50 ms | p99 ms | p99 alone | ratio |\n" + "|---" * 8 + "|")
    print("\n".join(cell.row() for cell in cells))


if __name__ == "__main__":
    sys.exit(main())
