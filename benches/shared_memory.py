#!/usr/bin/env python3
"""CPU time per request of the whole server when tensors lie in shared memory. Standard library only.

    benches/shared_memory.py [--profile release] [--seconds 3] [--rounds 3] [--connections 8] [--sizes 64,4096,602112,4194304]

Starts `nereid serve` with an identity model and loads it with wrk (HTTP) and h2load (gRPC), as `end_to_end.py` does. One
region holds the input and the output of every request. In the rows `in place` both are the same bytes, so that nothing
is copied: this is what the server's own handling costs, and what does not depend on the size. In the rows `one copy` the
output lies behind the input, and the identity model's work, moving the bytes, is done.

Another script gets the rows for a server of its own from `cells`; the server must run with `--allow-client-shm=true`.

Needs: `cargo build --release -p nereid-server`, and Debian's `wrk` and `nghttp2-client`.
"""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request

import end_to_end
from end_to_end import ROOT, Cell, field, free_port, varint, wait_for

SIZES = "64,4096,602112,4194304"
REGION = "bench"


def int_parameter(name, value):
    return field(1, name.encode()) + field(2, varint(2 << 3) + varint(value))


def text_parameter(name, value):
    return field(1, name.encode()) + field(2, field(3, value.encode()))


class SharedCell(Cell):
    """A cell whose tensors are in the region: the input at its start, the output there too or right behind it."""

    def __init__(self, label, protocol, size, pid, port, folder, count_port, output_offset):
        super().__init__(label, protocol, size, pid, port, "identity", folder, count_port)
        self.output_offset = output_offset

    def http_body(self, floats):
        def place(offset):
            return {"shared_memory_region": REGION, "shared_memory_offset": offset, "shared_memory_byte_size": floats * 4}

        inputs = [{"name": "INPUT0", "shape": [floats], "datatype": "FP32", "parameters": place(0)}]
        outputs = [{"name": "OUTPUT0", "parameters": place(self.output_offset)}]
        header = json.dumps({"inputs": inputs, "outputs": outputs}, separators=(",", ":")).encode()
        return header, header

    def grpc_body(self, model, floats):
        def place(number, offset):
            parameters = (
                text_parameter("shared_memory_region", REGION),
                int_parameter("shared_memory_offset", offset),
                int_parameter("shared_memory_byte_size", floats * 4),
            )
            return b"".join(field(number, parameter) for parameter in parameters)

        tensor = field(1, b"INPUT0") + field(2, b"FP32") + field(3, varint(floats)) + place(4, 0)
        output = field(1, b"OUTPUT0") + place(2, self.output_offset)
        message = field(1, model.encode()) + field(5, tensor) + field(6, output)
        return b"\0" + len(message).to_bytes(4, "big") + message

    def command(self, seconds, connections):
        """The same load as without shared memory; only the bodies differ."""
        inline = end_to_end.http_body, end_to_end.grpc_body
        end_to_end.http_body, end_to_end.grpc_body = self.http_body, self.grpc_body
        try:
            return super().command(seconds, connections)
        finally:
            end_to_end.http_body, end_to_end.grpc_body = inline


@contextlib.contextmanager
def registered(http_port, largest):
    """A region with room for an input and an output of the largest size, registered with the server."""
    path = pathlib.Path(f"/dev/shm/nereid_bench_{os.getpid()}")
    path.write_bytes(bytes(2 * largest))
    url = f"http://127.0.0.1:{http_port}/v2/systemsharedmemory/region/{REGION}"

    def post(action, body):
        urllib.request.urlopen(urllib.request.Request(f"{url}/{action}", json.dumps(body).encode(), method="POST")).close()

    try:
        post("register", {"key": f"/{path.name}", "offset": 0, "byte_size": 2 * largest})
        yield
        post("unregister", {})
    finally:
        path.unlink()


def cells(pid, http_port, grpc_port, folder, sizes):
    """The rows, to be measured while the region is registered."""
    rows = []
    for protocol, port in (("http", http_port), ("grpc", grpc_port)):
        for label in ("in place", "one copy"):
            for size in sizes:
                offset = 0 if label == "in place" else size
                place = folder / f"shared-{label.replace(' ', '-')}"
                place.mkdir(exist_ok=True)
                rows.append(SharedCell(f"shared memory, {label}", protocol, size, pid, port, place, http_port, offset))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--profile", default="release")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--sizes", default=SIZES)
    arguments = parser.parse_args()
    binary = ROOT / "target" / ("debug" if arguments.profile == "dev" else arguments.profile) / "nereid"
    for needed, advice in ((shutil.which("wrk"), "apt-get install wrk"), (shutil.which("h2load"), "apt-get install nghttp2-client")):
        if needed is None:
            sys.exit(f"a load generator is missing: {advice}")
    if not binary.exists():
        sys.exit(f"{binary.relative_to(ROOT)} is missing: cargo build --release -p nereid-server")

    folder = pathlib.Path(tempfile.mkdtemp(prefix="nereid-bench-"))
    version = folder / "models" / "identity" / "1"
    version.mkdir(parents=True)
    config = end_to_end.CONFIG.format(backend='backend: "identity"') + end_to_end.INSTANCES
    (folder / "models" / "identity" / "config.pbtxt").write_text(config)
    http, grpc, metrics = (free_port() for _ in range(3))
    log = open(folder / "nereid.log", "w")
    command = [str(binary), "serve", f"--model-repository={folder / 'models'}", "--allow-client-shm=true"]
    for service, port in (("http", http), ("grpc", grpc), ("metrics", metrics)):
        command += [f"--{service}-port={port}", f"--{service}-address=127.0.0.1"]
    server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(http, server)
        sizes = [int(size) for size in arguments.sizes.split(",")]
        with registered(http, max(sizes)):
            rows = cells(server.pid, http, grpc, folder, sizes)
            for _ in range(arguments.rounds):
                for row in rows:
                    row.measure(arguments.seconds, arguments.connections)
        print_table(rows, arguments)
    finally:
        server.terminate()
        server.wait(timeout=40)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def print_table(rows, arguments):
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"{arguments.profile} build, {os.cpu_count()} cores, {arguments.connections} connections or streams, "
        f"{arguments.rounds} rounds of {arguments.seconds} s, medians; load average at the end {load}\n"
    )
    print("| protocol | bytes | tensors | CPU µs/request | ratio to the smallest | requests/s |")
    print("|---|---|---|---|---|---|")
    smallest = {}
    for row in rows:
        cpu = statistics.median(row.cpu)
        first = smallest.setdefault((row.protocol, row.label), cpu)
        mark = "" if row.agrees else " !"
        rate = statistics.median(row.rate)
        print(f"| {row.protocol} | {row.size} | {row.label} | {cpu:.1f}{mark} | {cpu / first:.2f} | {rate:.0f} |")


if __name__ == "__main__":
    main()
