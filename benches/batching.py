#!/usr/bin/env python3
"""What dynamic batching and a second instance bring, beside ONNX Runtime alone. Standard library only.

    benches/batching.py [--profile release] [--seconds 2] [--rounds 2] [--clients 1,8,32] [--model batch_gain_long]
        [--plot benches/batching.svg]

The model (of tests/models, one whose rows are cheaper together: batch_gain is quick, batch_gain_long eight times as long) is run in process at every batch size, by
`raw_onnx`: what can be reached at all. And one server serves it four times: as it is, with dynamic batching, with two
instances, with both. perf_analyzer asks each over HTTP with so many clients that send one row at a time and wait for its answer.
A row of the table is the median of the rounds, which go through all cells in turn so that noise hits all alike.

`computing` is how many instances were in the library's run call at a time: what is missing to the number of instances is what
scheduler, protocol and client cost them. `raw` is ONNX Runtime alone with as many threads as there are instances, at the batch size that the server formed on average
(between two measured sizes a straight line). The client runs on the same machine: two instances on two cores share them with it.
Processor time is that of the server alone, and holds on a busy machine too, where rates and latencies do not.

Needs `cargo build --release -p nereid-server -p nereid-benches` and `cargo xtask setup onnxruntime perf_analyzer`.
"""
import argparse
import contextlib
import csv
import itertools
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request

from end_to_end import ROOT, cpu_seconds, free_port, wait_for

ROWS_MAX = 16
RAW_BATCHES = [1, 2, 4, 8, 12, 16]
CONFIG = """backend: "onnxruntime"
max_batch_size: {rows_max}
input [ {{ name: "X" data_type: TYPE_FP32 dims: [ 1024 ] }} ]
output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ 1024 ] }} ]
instance_group [ {{ kind: KIND_CPU count: {instances} }} ]
{batching}"""
# Name: instances, whether it batches, colour of its line.
MODELS = {
    "plain": (1, False, "#888888"),
    "batching": (1, True, "#1f6fb4"),
    "two": (2, False, "#d9902f"),
    "two_batching": (2, True, "#2f8f4e"),
}
TITLES = {
    "plain": "one instance",
    "batching": "one instance, dynamic batching",
    "two": "two instances",
    "two_batching": "two instances, dynamic batching",
}
PERF_ANALYZER_SECONDS_MAX = 120


class Raw:
    """ONNX Runtime alone, with some number of threads."""

    def __init__(self, target: pathlib.Path, library: pathlib.Path, model: pathlib.Path, threads: int):
        self.command, self.threads = [target / "raw_onnx", library, model], threads
        self.found = {batch: [] for batch in RAW_BATCHES}

    def measure(self, seconds: float):
        command = [*self.command, str(seconds), str(self.threads), *map(str, RAW_BATCHES)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for run in map(json.loads, output.splitlines()):
            self.found[run["batch"]].append((run["rows_per_second"], run["milliseconds"], run["cpu_us_per_row"]))

    @property
    def rates(self) -> dict[int, float]:
        """Rows per second by batch size."""
        return {batch: statistics.median(rate for rate, _, _ in found) for batch, found in self.found.items()}

    @property
    def milliseconds(self) -> dict[int, float]:
        """How long one run takes."""
        return {batch: statistics.median(time for _, time, _ in found) for batch, found in self.found.items()}

    @property
    def cpu(self) -> dict[int, float]:
        """Microseconds of processor time per row."""
        return {batch: statistics.median(cpu for *_, cpu in found) for batch, found in self.found.items()}

    def at(self, figures: dict[int, float], batch: float) -> float:
        below = max(size for size in RAW_BATCHES if size <= max(1, batch))
        above = min(size for size in RAW_BATCHES if size >= min(batch, RAW_BATCHES[-1]))
        if below == above:
            return figures[below]
        part = (batch - below) / (above - below)
        return figures[below] * (1 - part) + figures[above] * part

    def best(self) -> tuple[float, int]:
        return max((rate, batch) for batch, rate in self.rates.items())


class Cell:
    """One model and one number of clients."""

    def __init__(self, model: str, clients: int, place: tuple[int, int], folder: pathlib.Path):
        self.model, self.clients, self.folder = model, clients, folder
        self.port, self.pid = place
        self.rates, self.batches, self.p50, self.p99, self.cpu, self.computing = [], [], [], [], [], []

    def measure(self, seconds: float):
        report = self.folder / "report.csv"
        report.unlink(missing_ok=True)
        command = [
            ROOT / ".nereid/perf_analyzer/perf_analyzer", "-m", self.model, "-u", f"127.0.0.1:{self.port}", "-i", "http",
            "-b", "1", "--shape", "X:1024", f"--concurrency-range={self.clients}", "-p", str(int(seconds * 1000)),
            "-s", "10000", "-r", "3", "--percentile=50", "-f", report,
        ]  # fmt: skip
        before, spent = self.counted(), cpu_seconds(self.pid)
        ended = subprocess.run(command, capture_output=True, text=True, timeout=PERF_ANALYZER_SECONDS_MAX)
        if not report.exists():
            sys.exit(f"perf_analyzer ended with {ended.returncode} and no report:\n{ended.stdout}{ended.stderr}")
        inferences, executions, computed_ns = (after - earlier for after, earlier in zip(self.counted(), before))
        self.cpu.append((cpu_seconds(self.pid) - spent) / inferences * 1e6)
        with report.open() as file:
            row = next(csv.DictReader(file))
        self.rates.append(float(row["Inferences/Second"]))
        self.batches.append(inferences / executions)
        self.computing.append(computed_ns / 1e9 / inferences * self.rates[-1])
        self.p50.append(float(row["p50 latency"]) / 1000)
        self.p99.append(float(row["p99 latency"]) / 1000)

    def counted(self) -> tuple[int, int, int]:
        """Rows and executions so far, and the nanoseconds that the executions were in the library."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v2/models/{self.model}/stats") as answer:
            found = json.load(answer)["model_stats"][0]
        computed_ns = sum(batch["compute_infer"]["ns"] for batch in found["batch_stats"])
        return found["inference_count"], found["execution_count"], computed_ns

    def median(self, name: str) -> float:
        return statistics.median(getattr(self, name))


@contextlib.contextmanager
def server(target: pathlib.Path, folder: pathlib.Path, model: pathlib.Path):
    for name, (instances, batches, _) in MODELS.items():
        version = folder / "models" / name / "1"
        version.mkdir(parents=True)
        shutil.copy(model, version / "model.onnx")
        batching = "dynamic_batching { }" if batches else ""
        config = CONFIG.format(rows_max=ROWS_MAX, instances=instances, batching=batching)
        (version.parent / "config.pbtxt").write_text(config)
    port, *others = (free_port() for _ in range(3))
    flags = [f"--model-repository={folder / 'models'}", f"--http-port={port}"]
    flags += [f"--{name}-port={other}" for name, other in zip(("grpc", "metrics"), others)]
    flags += [f"--{name}-address=127.0.0.1" for name in ("http", "grpc", "metrics")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([target / "nereid", "serve", *flags], cwd=ROOT, stdout=log, stderr=log)
        try:
            wait_for(port, process)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(timeout=40)


def print_raw(raws: dict[int, Raw]):
    print("| batch | " + " | ".join(f"{threads} thread{'s' * (threads > 1)}, rows/s | ms per run | CPU µs/row" for threads in raws) + " |")
    print("|---" * (1 + 3 * len(raws)) + "|")
    for batch in RAW_BATCHES:
        figures = " | ".join(f"{raw.rates[batch]:.0f} | {raw.milliseconds[batch]:.2f} | {raw.cpu[batch]:.0f}" for raw in raws.values())
        print(f"| {batch} | {figures} |")
    for threads, raw in raws.items():
        rate, batch = raw.best()
        saved = raw.cpu[1] / min(raw.cpu.values())
        title = f"{threads} thread{'s' * (threads > 1)}"
        print(f"\nGain of {title}: {rate / raw.rates[1]:.2f}, at batch {batch}; in processor time {saved:.2f}.", end="")
    print("\n")


def print_cells(cells: list[Cell], raws: dict[int, Raw]):
    heads = "served", "clients", "rows/s", "rows per batch", "computing", "p50 ms", "p99 ms", "raw at that batch", "ratio"
    print("| " + " | ".join((*heads, "ratio to the best raw", "CPU µs/row", "raw CPU µs/row", "ratio")) + " |")
    print("|---" * (len(heads) + 4) + "|")
    for cell in cells:
        raw = raws[MODELS[cell.model][0]]
        rate, batch = cell.median("rates"), cell.median("batches")
        print(
            f"| {TITLES[cell.model]} | {cell.clients} | {rate:.0f} | {batch:.1f} | {cell.median('computing'):.2f} "
            f"| {cell.median('p50'):.2f} | {cell.median('p99'):.2f} | {raw.at(raw.rates, batch):.0f} | {rate / raw.at(raw.rates, batch):.2f} "
            f"| {rate / raw.best()[0]:.2f} | {cell.median('cpu'):.0f} | {raw.at(raw.cpu, batch):.0f} "
            f"| {cell.median('cpu') / raw.at(raw.cpu, batch):.2f} |"
        )
    print()
    most = max(cell.clients for cell in cells)
    for plain, batching in (("plain", "batching"), ("two", "two_batching")):
        raw = raws[MODELS[plain][0]]
        by_name = {cell.model: cell.median("rates") for cell in cells if cell.clients == most}
        cpu = {cell.model: cell.median("cpu") for cell in cells if cell.clients == most}
        gain, raw_gain = by_name[batching] / by_name[plain], raw.best()[0] / raw.rates[1]
        saved, raw_saved = cpu[plain] / cpu[batching], raw.cpu[1] / min(raw.cpu.values())
        print(
            f"Gain of batching at {most} clients, {TITLES[plain]}: {gain:.2f}; of the raw gain of {raw_gain:.2f} "
            f"that is {gain / raw_gain:.0%}. In processor time {saved:.2f} of {raw_saved:.2f}, {saved / raw_saved:.0%}."
        )


class Plot:
    """Latency over throughput, both on logarithmic scales."""

    WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 560, 80, 30, 60, 70

    def __init__(self, points: list[tuple[float, float]]):
        rates, latencies = zip(*points)
        self.rates = min(rates) / 1.15, max(rates) * 1.15
        self.latencies = min(latencies) / 1.3, max(latencies) * 1.3
        self.parts = []

    def place(self, rate: float, latency: float) -> tuple[float, float]:
        part = lambda value, ends: ratio(value, ends[0]) / ratio(ends[1], ends[0])  # noqa: E731
        x = self.LEFT + part(rate, self.rates) * (self.WIDTH - self.LEFT - self.RIGHT)
        y = self.HEIGHT - self.BOTTOM - part(latency, self.latencies) * (self.HEIGHT - self.TOP - self.BOTTOM)
        return round(x, 1), round(y, 1)

    def text(self, x: float, y: float, text: str, anchor: str = "middle", more: str = ""):
        self.parts.append(f'<text x="{x}" y="{y}" text-anchor="{anchor}" {more}>{text}</text>')

    def axes(self):
        bottom, right = self.HEIGHT - self.BOTTOM, self.WIDTH - self.RIGHT
        for tick in ticks(self.rates):
            x, _ = self.place(tick, self.latencies[0])
            self.parts.append(f'<path d="M{x} {self.TOP}V{bottom}" stroke="#e4e4e4"/>')
            self.text(x, bottom + 20, f"{tick:,.0f}")
        for tick in ticks(self.latencies):
            _, y = self.place(self.rates[0], tick)
            self.parts.append(f'<path d="M{self.LEFT} {y}H{right}" stroke="#e4e4e4"/>')
            self.text(self.LEFT - 8, y + 4, f"{tick:g}", "end")
        self.parts.append(f'<path d="M{self.LEFT} {self.TOP}V{bottom}H{right}" fill="none" stroke="#444"/>')
        self.text((self.LEFT + right) / 2, bottom + 48, "rows per second")
        middle = (self.TOP + bottom) / 2
        self.text(24, middle, "latency, ms (p50)", more=f'transform="rotate(-90 24 {middle})"')

    def line(self, points: list[tuple[float, float, str]], colour: str, dashes: str = ""):
        places = [self.place(rate, latency) for rate, latency, _ in points]
        path = " ".join(f"{x},{y}" for x, y in places)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>')
        for (x, y), (_, _, label) in zip(places, points):
            self.parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>')
            self.text(x + 7, y - 6, label, "start", f'fill="{colour}" font-size="11"')

    def legend(self, entries: list[tuple[str, str, str]]):
        for index, (title, colour, dashes) in enumerate(entries):
            y = self.TOP + 14 + index * 20
            line = f'<path d="M{self.LEFT + 14} {y}h26" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>'
            self.parts.append(line)
            self.text(self.LEFT + 48, y + 4, title, "start")

    def write(self, path: pathlib.Path, title: str):
        self.text(self.WIDTH / 2, 30, title, more='font-size="16"')
        body = "\n".join(self.parts)
        path.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.WIDTH} {self.HEIGHT}" font-family="sans-serif" '
            f'font-size="12" fill="#333">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
        )


def ratio(value: float, start: float) -> float:
    return math.log(value / start)


def ticks(ends: tuple[float, float]) -> list[float]:
    """1, 2 and 5 times the powers of ten between the ends."""
    found = (factor * 10.0**power for power in range(-3, 7) for factor in (1, 2, 5))
    return [tick for tick in found if ends[0] <= tick <= ends[1]]


def draw(cells: list[Cell], raws: dict[int, Raw], circumstances: str, path: pathlib.Path):
    lines = [
        (TITLES[model], colour, "", [(c.median("rates"), c.median("p50"), str(c.clients)) for c in cells if c.model == model])
        for model, (_, _, colour) in MODELS.items()
    ]
    for threads, raw in raws.items():
        points = [(raw.rates[batch], raw.milliseconds[batch], f"b{batch}") for batch in RAW_BATCHES]
        title = f"ONNX Runtime alone, {threads} thread{'s' * (threads > 1)} (by batch size)"
        lines.append((title, "#222222" if threads == 1 else "#b03060", "5 4", points))
    plot = Plot([point[:2] for *_, points in lines for point in points])
    plot.axes()
    for _, colour, dashes, points in lines:
        plot.line(points, colour, dashes)
    plot.legend([(title, colour, dashes) for title, colour, dashes, _ in lines])
    plot.write(path, f"Latency over throughput, by number of clients ({circumstances})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--profile", default="release")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--model", default="batch_gain")
    parser.add_argument("--plot", type=pathlib.Path)
    arguments = parser.parse_args()
    target = ROOT / "target" / {"dev": "debug"}.get(arguments.profile, arguments.profile)
    model = ROOT / f"tests/models/{arguments.model}.onnx"
    library = max((ROOT / ".nereid/onnxruntime").glob("libonnxruntime.so*"))
    loads = [os.getloadavg()[0]]
    print(f"load average before: {loads[0]:.2f}\n")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with server(target, folder, model) as place:
            counts = [int(count) for count in arguments.clients.split(",")]
            cells = [Cell(model, clients, place, folder) for model, clients in itertools.product(MODELS, counts)]
            raws = {threads: Raw(target, library, model, threads) for threads in (1, 2)}
            for _ in range(arguments.rounds):
                for measured in (*raws.values(), *cells):
                    measured.measure(arguments.seconds)
    print_raw(raws)
    print_cells(cells, raws)
    loads.append(os.getloadavg()[0])
    print(f"\nload average after: {loads[1]:.2f}")
    if arguments.plot:
        circumstances = f"{arguments.profile} build, load average {loads[0]:.1f} to {loads[1]:.1f}"
        draw(cells, raws, circumstances, arguments.plot)


if __name__ == "__main__":
    main()
