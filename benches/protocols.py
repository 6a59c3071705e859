#!/usr/bin/env python3
"""CPU time per request of the whole server by the way that tensors travel, beside a bare echo. Standard library only.

    benches/protocols.py [--profile release] [--seconds 3] [--rounds 3] [--connections 8] [--sizes 64,4096,602112,4194304]

One model, `identity`, is asked in eight ways: tensors as JSON, as bytes behind JSON, as a gRPC message, as messages on a gRPC
stream, and in shared memory by way of HTTP and of gRPC, where the output is in place or one copy away (shared_memory.py).
Each is loaded in turn with wrk or h2load, round by round so that noise of the machine hits all alike. The echo answers the
same bytes: bare hyper under HTTP, bare tonic under gRPC, message by message on streams. A stream carries many messages; what
is counted is a message.

Needs what end_to_end.py needs. A cell whose requests the server's statistics do not confirm is marked with '!'.
"""
import argparse
import contextlib
import json
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile

from end_to_end import ROOT, cpu_seconds, free_port, grpc_body, http_body, successes, wait_for
from shared_memory import SharedCell, registered

MODEL = """backend: "identity"
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ -1 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ -1 ] } ]
instance_group [ { kind: KIND_CPU count: 8 } ]
"""
IN_PLACE, COPIED = "shared memory in place", "shared memory, one copy"
WAYS = {"http": ("json", "binary", IN_PLACE, COPIED), "grpc": ("message", "stream", IN_PLACE, COPIED)}
# What travels on one stream: enough that opening it does not count, no more than is sent in a blink.
STREAM_BYTES = 4 << 20
STREAM_MESSAGES_MAX = 100


def json_body(floats: int) -> bytes:
    """Seven digits per number, which is what a float has."""
    numbers = random.Random(floats)
    data = [round(numbers.random(), 7) for _ in range(floats)]
    return json.dumps({"inputs": [{"name": "INPUT0", "shape": [floats], "datatype": "FP32", "data": data}]}).encode()


class Cell:
    """One way, one size, one server."""

    def __init__(self, protocol: str, way: str, size: int, is_echo: bool, folder: pathlib.Path, place: tuple):
        self.protocol, self.way, self.size, self.is_echo, self.folder = protocol, way, size, is_echo, folder
        self.process, self.port, self.http_port = place
        self.messages = max(1, min(STREAM_MESSAGES_MAX, STREAM_BYTES // size)) if way == "stream" else 1
        self.cpu, self.rate, self.agrees = [], [], True

    def body(self) -> bytes:
        floats = self.size // 4
        if self.way in (IN_PLACE, COPIED):
            offset = 0 if self.way == IN_PLACE else self.size
            shared = SharedCell("", self.protocol, self.size, 0, 0, self.folder, 0, offset)
            return shared.http_body(floats)[1] if self.protocol == "http" else shared.grpc_body("identity", floats)
        match self.way:
            case "json":
                return json_body(floats)
            case "binary":
                return http_body(floats)[1]
            case _:
                return grpc_body("identity", floats) * self.messages

    def command(self, seconds: int, connections: int) -> list[str]:
        path = self.folder / f"{self.protocol}-{self.way.replace(' ', '_')}-{self.size}.body"
        if not path.exists():
            path.write_bytes(self.body())
        if self.protocol == "grpc":
            rpc = "ModelStreamInfer" if self.way == "stream" else "ModelInfer"
            url = f"http://127.0.0.1:{self.port}/inference.GRPCInferenceService/{rpc}"
            return [
                "h2load", "-t1", "-c1", f"-m{connections}", f"-D{seconds}", "-d", str(path),
                "-H", "content-type: application/grpc", "-H", "te: trailers", "-w24", "-W24", url,
            ]  # fmt: skip
        script = path.with_suffix(".lua")
        header = f"wrk.headers['Inference-Header-Content-Length'] = '{len(http_body(self.size // 4)[0])}'\n"
        script.write_text(
            f"local f = assert(io.open('{path}', 'rb'))\nwrk.method = 'POST'\nwrk.body = f:read('*a')\nf:close()\n"
            + (header if self.way == "binary" else "")
        )
        url = f"http://127.0.0.1:{self.port}/v2/models/identity/infer"
        return ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]

    def measure(self, seconds: int, connections: int):
        counted = 0 if self.is_echo else successes(self.http_port, "identity")
        before = cpu_seconds(self.process.pid)
        output = subprocess.run(self.command(seconds, connections), capture_output=True, text=True, check=True).stdout
        spent = cpu_seconds(self.process.pid) - before
        sent = int(re.search(r"(\d+)(?: requests in| done,)", output).group(1)) * self.messages
        # A stream that the end of the time cut off was served in part.
        served = sent if self.is_echo else successes(self.http_port, "identity") - counted
        self.agrees &= abs(served - sent) <= max(2 * connections * self.messages, sent // 50)
        self.agrees &= "Non-2xx" not in output
        self.cpu.append(spent / max(1, served) * 1e6)
        self.rate.append(served / seconds)


@contextlib.contextmanager
def servers(target: pathlib.Path, folder: pathlib.Path):
    """(process, port) of nereid's HTTP, nereid's gRPC and the two echoes."""
    (folder / "models/identity/1").mkdir(parents=True)
    (folder / "models/identity/config.pbtxt").write_text(MODEL)
    http, grpc, metrics, echo_http, echo_grpc = (free_port() for _ in range(5))
    flags = [f"--model-repository={folder / 'models'}", "--allow-client-shm=true"]
    for name, port in (("http", http), ("grpc", grpc), ("metrics", metrics)):
        flags += [f"--{name}-port={port}", f"--{name}-address=127.0.0.1"]
    commands = [
        [str(target / "nereid"), "serve", *flags],
        [str(target / "echo_http"), f"127.0.0.1:{echo_http}"],
        [str(target / "echo_grpc"), f"127.0.0.1:{echo_grpc}"],
    ]
    with (folder / "log").open("w") as log:
        processes = [subprocess.Popen(command, stdout=log, stderr=log) for command in commands]
        try:
            nereid, bare_http, bare_grpc = processes
            wait_for(http, nereid)
            wait_for(echo_http, bare_http, None)
            wait_for(echo_grpc, bare_grpc, None)
            yield (nereid, http), (nereid, grpc), (bare_http, echo_http), (bare_grpc, echo_grpc)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(timeout=40)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--profile", default="release")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--sizes", default="64,4096,602112,4194304")
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    target = ROOT / "target" / ("debug" if arguments.profile == "dev" else arguments.profile)
    with tempfile.TemporaryDirectory(prefix="nereid-bench-") as name, servers(target, pathlib.Path(name)) as places:
        http, grpc, bare_http, bare_grpc = places
        cells = []
        for protocol, served, bare in (("http", http, bare_http), ("grpc", grpc, bare_grpc)):
            for way in WAYS[protocol]:
                for size in sizes:
                    for is_echo, place in ((True, bare), (False, served)):
                        cells.append(Cell(protocol, way, size, is_echo, pathlib.Path(name), (*place, http[1])))
        with registered(http[1], max(sizes)):
            for number in range(arguments.rounds):
                for index, cell in enumerate(cells):
                    text = f"round {number + 1}/{arguments.rounds}, cell {index + 1}/{len(cells)}: {cell.protocol} {cell.way} {cell.size}"
                    print(f"\r{text:<78}", end="", file=sys.stderr, flush=True)
                    cell.measure(arguments.seconds, arguments.connections)
        print(f"\r{'':<78}\r", end="", file=sys.stderr)
        print_table(cells, arguments)


def print_table(cells: list[Cell], arguments):
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"{arguments.profile} build, {os.cpu_count()} cores, {arguments.connections} connections or streams, "
        f"{arguments.rounds} rounds of {arguments.seconds} s, medians; load average at the end {load}\n"
    )
    print("| protocol | tensors | bytes | echo, CPU µs | nereid, CPU µs | ratio to echo | ratio to 64 bytes | requests/s |")
    print("|---|---|---|---|---|---|---|---|")
    for echo, cell in zip(cells[::2], cells[1::2], strict=True):
        echo_cpu, cpu = statistics.median(echo.cpu), statistics.median(cell.cpu)
        kin = (first for first in cells if (first.protocol, first.way, first.is_echo) == (cell.protocol, cell.way, False))
        smallest = statistics.median(next(kin).cpu)
        mark = "" if cell.agrees and echo.agrees else " !"
        print(
            f"| {cell.protocol} | {cell.way} | {cell.size} | {echo_cpu:.1f} | {cpu:.1f}{mark} | {cpu / echo_cpu:.2f} | {cpu / smallest:.2f} | "
            f"{statistics.median(cell.rate):.0f} |"
        )


if __name__ == "__main__":
    main()
