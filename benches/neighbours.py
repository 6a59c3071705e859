#!/usr/bin/env python3
"""What a hostile plugin does to its neighbours' latencies. Standard library only.

    benches/neighbours.py [--profile release] [--rate 200] [--seconds 8] [--cpu-ms 20]

One server serves two plugins: a well-behaved identity and `hostile`, which spins, traps, allocates, recurses or floods the log as a
request asks. The neighbour is asked at a steady rate, first alone, then while the other gets a tenth as many requests of one kind. A
row is what the neighbour's clients saw: failures, and percentiles of the time from when a request was due to its answer, so that a
server that keeps a client waiting does not hide the requests that were due meanwhile.

Needs `cargo build -p nereid-server --release` (or `--profile dev` for target/debug) and `cargo xtask guests`.
"""
import argparse
import contextlib
import http.client
import json
import pathlib
import shutil
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--profile", default="release")
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--cpu-ms", type=int, default=20)
    arguments = parser.parse_args()
    binary = ROOT / "target" / {"dev": "debug"}.get(arguments.profile, arguments.profile) / "nereid"
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        write_repository(pathlib.Path(folder), arguments.cpu_ms)
        port, grpc_port, metrics_port = free_port(), free_port(), free_port()
        flags = [f"--http-port={port}", f"--grpc-port={grpc_port}", f"--metrics-port={metrics_port}", "--log-info=false"]
        command = [binary, "serve", f"--model-repository={folder}", "--http-address=127.0.0.1", *flags, "--log-warning=false"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        wait_for(port, process)
        print("| beside it | neighbour's requests | failures | p50 ms | p99 ms | p99 to alone |\n|---|---|---|---|---|---|")
        Load(port, "identity", None, arguments.rate, 2).join()
        alone = None
        for kind in ["nothing", *KINDS, "nothing"]:
            other = None if kind == "nothing" else Load(port, "hostile", kind, arguments.rate / 10, arguments.seconds)
            load = Load(port, "identity", None, arguments.rate, arguments.seconds).join()
            if other:
                other.join()
            alone = alone or load.percentile(0.99)
            median, slowest = load.percentile(0.5), load.percentile(0.99)
            row = f"| {kind} | {len(load.latencies)} | {load.failures} | {median:.2f} | {slowest:.2f} | {slowest / alone:.2f} |"
            print(row, flush=True)


if __name__ == "__main__":
    sys.exit(main())
