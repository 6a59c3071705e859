#!/usr/bin/env python3
"""Half an hour of plugins in five languages, with swaps, cancelled calls and accidents: does anything grow?

    .nereid/venv/bin/python benches/soak.py [--profile release] [--minutes 30] [--rate 4] [--swap-seconds 20]
    benches/soak.py --rate 0 --swap-seconds 0 --minutes 5           # swaps alone, as many as there can be

Every language has a plugin of one function and one of whole batches, the contract test's. Each is asked at a steady rate: over HTTP, over
gRPC, as a stream of a decoupled model, with a client that leaves before the answer, and with an accident in fifty. Meanwhile one plugin
after the other is replaced under load, back and forth between two builds. A row is a minute: what clients saw, and the server's
memory, what of it guests have asked for (Python's runtime gives back no list that it was handed, until the guest is replaced), files,
threads and guests as they are at its end. The last lines say what each of them gained in an hour, going by the second half,
and what failed that should not have.

Needs tritonclient (`cargo xtask setup` makes `.nereid/venv`), `cargo xtask guests`, and `cargo build -p nereid-server --release`.
"""
import argparse
import base64
import collections
import itertools
import json
import pathlib
import queue
import re
import shutil
import statistics
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/clients"))

import numpy as np
import tritonclient.grpc
from clients import PROTOCOLS, Client
from repository import tensors, write_model
from server import Server
from tritonclient.utils import InferenceServerException

LANGUAGES = ["rust", "python", "javascript", "c", "go"]
TENSORS = tensors("input", ("X", "TYPE_FP32", "-1")) + tensors("output", ("X", "TYPE_FP32", "-1"))
# A plugin whose accidents are meant is not let rest, and no build is sent away for them.
STEADY = "".join(
    f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}\n'
    for key, value in {"breaker_failures": 0, "swap_guard_seconds": 0, "swap_warmup_requests": 0}.items()
)
DECOUPLED = "model_transaction_policy { decoupled: true }\n"
ACCIDENT_EVERY = 50
CANCEL_SECONDS = 0.02
STREAMED = 4


def write_repository(folder: pathlib.Path):
    for language in LANGUAGES:
        write_model(folder, language, 'backend: "wasm"\nmax_batch_size: 0\n' + STEADY + TENSORS)
        (folder / language / "plugin.toml").write_text('[grants]\nmodels = ["left", "right"]\n')
        shutil.copy(component(language), folder / language / "1/model.wasm")
        write_model(folder, f"{language}_model", 'backend: "wasm"\nmax_batch_size: 8\n' + STEADY + DECOUPLED + TENSORS)
        shutil.copy(component(f"model_{language}"), folder / f"{language}_model/1/model.wasm")
    for name in ("left", "right"):
        write_model(folder, name, 'backend: "identity"\nmax_batch_size: 0\n' + TENSORS)


def component(name: str) -> pathlib.Path:
    return ROOT / f"target/guests/contract_{name}.wasm"


def build(path: pathlib.Path, number: int) -> bytes:
    """The component with a custom section behind it, which makes it another one."""
    name, content = b"soak", bytes([number])
    return path.read_bytes() + bytes([0, 1 + len(name) + len(content), len(name)]) + name + content


class Load:
    """Everybody who asks. `seen` counts what became of it; `failures` are those that nobody meant."""

    def __init__(self, server: Server, rate: float):
        self.server, self.pause, self.ended = server, 1 / rate if rate else 0.0, threading.Event()
        self.seen, self.failures, self.lock = collections.Counter(), collections.Counter(), threading.Lock()
        jobs = [(self.unary, language, protocol) for language in LANGUAGES for protocol in PROTOCOLS]
        jobs += [(job, language) for language in LANGUAGES for job in (self.stream, self.leave)]
        self.threads = [threading.Thread(target=self.keep_on, args=job, daemon=True) for job in jobs if rate]
        [thread.start() for thread in self.threads]

    def keep_on(self, job, *arguments):
        while not self.ended.is_set():
            try:
                for _ in job(*arguments):
                    if self.ended.wait(self.pause):
                        return
            except Exception as error:  # whatever it is, nobody meant it
                self.failed(job.__name__, arguments, error)
                self.ended.wait(1)

    def failed(self, job: str, arguments: tuple, error: Exception):
        with self.lock:
            self.failures[f"{job} {' '.join(arguments)}: {str(error)[:200]}"] += 1

    def count(self, what: str):
        with self.lock:
            self.seen[what] += 1

    def unary(self, language: str, protocol: str):
        """Transforms and calls of two other models; one in fifty fails by accident."""
        client, x = Client(protocol, self.server), np.ones(256, np.float32)
        for index in range(sys.maxsize):
            mode = "trap" if index % ACCIDENT_EVERY == ACCIDENT_EVERY - 1 else ("transform", "bls")[index % 2]
            try:
                answer = client.infer(language, client.input("X", x, "FP32"), parameters={"mode": mode}).as_numpy("X")
                assert mode != "trap" and answer[0] == (2 if mode == "bls" else 1), (mode, answer[:2])
                self.count("answers")
            except InferenceServerException:
                if mode != "trap":
                    raise
                self.count("accidents")
            yield

    def stream(self, language: str):
        """Four responses to each request of one stream."""
        answers = queue.Queue()
        client = tritonclient.grpc.InferenceServerClient(self.server.grpc_url)
        client.start_stream(callback=lambda result, error: answers.put((result, error)))
        try:
            while True:
                given = tritonclient.grpc.InferInput("X", [1, 1], "FP32")
                given.set_data_from_numpy(np.ones((1, 1), np.float32))
                client.async_stream_infer(f"{language}_model", [given], parameters={"mode": "stream", "count": STREAMED})
                for expected in range(STREAMED):
                    result, error = answers.get(timeout=60)
                    if error:
                        raise error
                    assert result.as_numpy("X").item() == 1 + expected
                self.count("streamed")
                yield
        finally:
            client.stop_stream(cancel_requests=True)
            client.close()

    def leave(self, language: str):
        """A call that waits until its client is gone."""
        client = tritonclient.grpc.InferenceServerClient(self.server.grpc_url)
        while True:
            given = tritonclient.grpc.InferInput("X", [1], "FP32")
            given.set_data_from_numpy(np.ones(1, np.float32))
            told = queue.Queue()
            call = client.async_infer(
                language, [given], callback=lambda result, error: told.put((result, error)), parameters={"mode": "cancelled"}
            )
            self.ended.wait(CANCEL_SECONDS)
            call.cancel()
            result, error = told.get(timeout=60)
            assert result is None and "CANCELLED" in str(error), (result, error)
            self.count("cancelled")
            yield

    def swap(self, seconds: float):
        """One plugin after the other, back and forth between two builds; each is compiled once and found again after."""
        models = [(language, component(language)) for language in LANGUAGES]
        models += [(f"{language}_model", component(f"model_{language}")) for language in LANGUAGES]
        number = 0
        while not self.ended.wait(seconds):
            name, path = models[number % len(models)]
            parameters = {"overlay": True, "file:1/model.wasm": base64.b64encode(build(path, number // len(models) % 2)).decode()}
            try:
                answer = self.server.request("POST", f"/v2/repository/models/{name}/load", json.dumps({"parameters": parameters}).encode())
                assert answer.status == 200, answer
                self.count("swaps")
            except Exception as error:
                self.failed("swap", (name,), error)
            number += 1


def readings(server: Server) -> dict[str, float]:
    process = pathlib.Path(f"/proc/{server.process.pid}")
    status = dict(re.findall(r"(\w+):\s+(\d+)", (process / "status").read_text()))
    guests = re.findall(r"^nereid_plugin_guests\{.*\} (\d+)$", server.metrics(), re.MULTILINE)
    models = json.loads(server.get("/v2/models/stats").body)["model_stats"]
    return {
        "MiB": int(status["VmRSS"]) / 1024,
        "guests' MiB": sum(used["byte_size"] for model in models for used in model.get("memory_usage", [])) / 2**20,
        "files": len(list((process / "fd").iterdir())),
        "threads": int(status["Threads"]),
        "guests": sum(map(int, guests)),
    }


def slope(rows: list[tuple[float, dict]], name: str) -> float:
    """Gain per hour over the second half: the median of what was gained between any two readings, so that one in mid-swap moves nothing."""
    pairs = itertools.combinations(rows[len(rows) // 2 :], 2)
    gains = [(later[name] - earlier[name]) / (end - begin) * 3600 for (begin, earlier), (end, later) in pairs]
    return statistics.median(gains) if gains else float("nan")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--profile", default="release")
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--rate", type=float, default=4, help="requests per second of each of the 20 clients; 0: swaps alone")
    parser.add_argument("--swap-seconds", type=float, default=20)
    arguments = parser.parse_args()
    binary = ROOT / "target" / {"dev": "debug"}.get(arguments.profile, arguments.profile) / "nereid"
    counted = ["answers", "streamed", "cancelled", "accidents", "swaps"]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_repository(folder / "models")
        flags = ["--model-control-mode=explicit", "--load-model=*", f"--plugin-cache-directory={folder}/cache", "--log-warning=false"]
        with Server(binary, folder / "log", [folder / "models"], *flags, "--log-error=false") as server:
            load = Load(server, arguments.rate)
            load.threads.append(threading.Thread(target=load.swap, args=(arguments.swap_seconds,), daemon=True))
            load.threads[-1].start()
            names = list(readings(server))
            print(f"| minute | {' | '.join((*counted, *names))} |\n" + "|---" * (1 + len(counted) + len(names)) + "|", flush=True)
            started, rows = time.monotonic(), []
            for minute in range(1, arguments.minutes + 1):
                time.sleep(max(0.0, started + 60 * minute - time.monotonic()))
                found = readings(server)
                rows.append((time.monotonic() - started, found))
                seen = [load.seen[what] for what in counted] + [round(found[name]) for name in names]
                print(f"| {minute} | {' | '.join(map(str, seen))} |", flush=True)
            load.ended.set()
            [thread.join(70) for thread in load.threads]
    gains = ", ".join(f"{name} {slope(rows, name):+.1f}" for name in rows[-1][1])
    print(f"\ngain per hour, second half: {gains}\nfailures that nobody meant: {sum(load.failures.values())}")
    [print(f"  {count} x {text}") for text, count in load.failures.most_common(20)]
    return 1 if load.failures else 0


if __name__ == "__main__":
    sys.exit(main())
