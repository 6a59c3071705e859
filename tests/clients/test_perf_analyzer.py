"""NVIDIA's own load generator against the server: it finds the models, drives them and sees no error."""

import json
import os
import re
import subprocess

import pytest

REQUESTS = 400

# A run takes a second or two.
SECONDS_MAX = 60

# About one run in a hundred of perf_analyzer 2.51 with --request-count never ends although every request was answered: the
# server's counts are complete, nothing waits in it, and the sockets' queues are empty on both sides.
STUCK_RUNS_MAX = 3


@pytest.fixture(scope="session")
def perf_analyzer():
    program = os.environ.get("NEREID_PERF_ANALYZER")
    assert program, "run this suite with `cargo xtask clients`, which names perf_analyzer"
    return program


def measure(perf_analyzer: str, server, model: str, protocol: str, *options: str) -> str:
    url = server.http_url if protocol == "http" else server.grpc_url
    command = [perf_analyzer, "-m", model, "-u", url, "-i", protocol, f"--request-count={REQUESTS}", *options]
    for _ in range(STUCK_RUNS_MAX):
        before = answered(server, model)
        try:
            ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS_MAX)
        except subprocess.TimeoutExpired:
            found = answered(server, model) - before
            assert found >= REQUESTS, f"{found} of {REQUESTS} requests were answered after {SECONDS_MAX} s"
            continue
        report = ended.stdout + ended.stderr
        assert ended.returncode == 0, report
        return report
    raise AssertionError(f"perf_analyzer did not end in {STUCK_RUNS_MAX} runs of {SECONDS_MAX} s")


def answered(server, model: str) -> int:
    """How many requests the model has answered so far."""
    statistics = json.loads(server.get(f"/v2/models/{model}/stats").body)["model_stats"]
    return sum(version["inference_stats"]["success"]["count"] for version in statistics)


def check(report: str):
    throughputs = [float(number) for number in re.findall(r"Throughput: ([\d.]+) infer/sec", report)]
    assert throughputs and all(throughput > 0 for throughput in throughputs), report
    counts = [int(number) for number in re.findall(r"Inference count: (\d+)", report)]
    assert counts and counts[0] > 0, "the server's statistics count what the client sent\n" + report
    assert not re.search("error|failed", report, re.IGNORECASE), report


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_unary_requests(perf_analyzer, server, protocol, concurrency):
    options = ["--shape=INPUT0:16", f"--concurrency-range={concurrency}"]
    check(measure(perf_analyzer, server, "identity_fp32", protocol, *options))


def test_a_grpc_stream(perf_analyzer, server):
    options = ["--shape=INPUT0:16", "--streaming", "--concurrency-range=4"]
    check(measure(perf_analyzer, server, "identity_fp32", "grpc", *options))


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("model", ["add_sub", "batched"])
def test_models_that_batch(perf_analyzer, server, protocol, model):
    check(measure(perf_analyzer, server, model, protocol, "-b", "4", "--concurrency-range=4"))


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("model", ["ensemble", "plugin_identity"])
def test_ensembles_and_plugins(perf_analyzer, server, protocol, model):
    check(measure(perf_analyzer, server, model, protocol, "--shape=INPUT0:16", "--concurrency-range=2"))


def test_an_ensemble_on_a_grpc_stream(perf_analyzer, server):
    options = ["--shape=INPUT0:16", "--streaming", "--concurrency-range=4"]
    check(measure(perf_analyzer, server, "ensemble", "grpc", *options))


def test_tensors_as_json(perf_analyzer, server):
    # Of a larger tensor this release writes the first element only.
    options = ["--shape=INPUT0:1", "--input-tensor-format=json", "--output-tensor-format=json", "--concurrency-range=4"]
    check(measure(perf_analyzer, server, "identity_fp32", "http", *options))


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_rate_of_requests_instead_of_a_number_of_clients(perf_analyzer, server, protocol):
    options = ["--shape=INPUT0:16", "--request-rate-range=200"]
    check(measure(perf_analyzer, server, "identity_fp32", protocol, *options))
