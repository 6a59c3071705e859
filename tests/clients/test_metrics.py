"""The metrics page as the reference implementation of the format reads it, against the statistics of the same models."""

import pathlib

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from prometheus_client.parser import text_string_to_metric_families
from repository import identity, write_model
from tritonclient.utils import InferenceServerException

FOUR = np.array([1, 2, 3, 4], np.float32)

COUNTER_LATENCIES = {
    f"nv_inference_{stage}_duration_us" for stage in ("request", "queue", "compute_input", "compute_infer", "compute_output")
}
SUMMARIES = {
    f"nv_inference_{stage}_summary_us" for stage in ("request", "queue", "compute_input", "compute_infer", "compute_output")
}
HISTOGRAM = "nv_inference_first_response_histogram_ms"


def families(server) -> dict:
    """Families by name; the parser takes a counter's `_total` off, of which Triton's have none."""
    return {family.name: family for family in text_string_to_metric_families(server.metrics())}


def samples(server, model: str) -> dict:
    """Values by (name, further labels) of one model's version 1."""
    found = {}
    for family in families(server).values():
        for sample in family.samples:
            labels = dict(sample.labels)
            # The parser gives counters the suffix that OpenMetrics wants.
            name = family.name if family.type == "counter" else sample.name
            if labels.pop("model", None) == model and labels.pop("version") == "1":
                key = (name, *sorted(labels.items()))
                assert key not in found, f"{key} stands twice"
                found[key] = sample.value
    return found


def write_models(repository: pathlib.Path) -> pathlib.Path:
    tags = 'metric_tags { key: "team" value: "vision \\"A\\"" }\n'
    write_model(repository, "tagged", identity(more="max_batch_size: 0\n" + tags))
    buckets = f'metric_control {{ metric_identifier {{ family: "{HISTOGRAM}" }} histogram_options {{ buckets: [ 0.001, 60000 ] }} }}'
    delay = 'parameters { key: "execute_delay_ms" value: { string_value: "20" } }\n'
    write_model(repository, "own_buckets", identity(more="max_batch_size: 0\n" + delay + f"model_metrics {{ {buckets} }}\n"))
    return repository


@pytest.fixture
def serve(start_server, tmp_path):
    """A server of a test's own with these metrics flags, and a client of it."""

    def start(*flags: str):
        repository = tmp_path / "models"
        repository.mkdir()
        server = start_server(write_models(repository), *flags)
        return server, Client("grpc", server)

    return start


def test_counts_agree_with_statistics(server, client):
    for rows in (1, 2, 2):
        client.identity("batched", np.ones((rows, 4), np.float32))
    with pytest.raises(InferenceServerException):
        client.identity("batched", np.ones((9, 4), np.float32))
    statistics, page = client.statistics("batched"), samples(server, "batched")

    def stage(name: str) -> tuple[int, int]:
        row = statistics["inference_stats"].get(name, {})
        return int(row.get("count", 0)), int(row.get("ns", 0))

    assert page["nv_inference_request_success",] == stage("success")[0]
    assert page["nv_inference_count",] == int(statistics["inference_count"])
    assert page["nv_inference_exec_count",] == int(statistics["execution_count"])
    # One sum of nanoseconds, shown in microseconds: nothing is lost to rounding on the way.
    assert page["nv_inference_request_duration_us",] == stage("success")[1] // 1000
    for name in ("queue", "compute_input", "compute_infer", "compute_output"):
        assert page[f"nv_inference_{name}_duration_us",] == stage(name)[1] // 1000
    rows = {int(row["batch_size"]): int(row["compute_infer"]["count"]) for row in statistics["batch_stats"]}
    assert sum(rows.values()) == int(statistics["execution_count"])
    assert sum(size * count for size, count in rows.items()) == int(statistics["inference_count"])


def test_statistics_of_all_models_have_every_field(server, client):
    answer = client.raw.get_inference_statistics(**client._as_json)
    names = [row["name"] for row in answer["model_stats"]]
    assert {"identity_fp32", "ensemble", "add_sub", "plugin_identity"} <= set(names) and names == sorted(names)
    if client.protocol == "http":
        for row in answer["model_stats"]:
            assert list(row) == [
                "name", "version", "last_inference", "inference_count", "execution_count", "inference_stats",
                "response_stats", "batch_stats", "memory_usage",
            ]
            assert row["response_stats"] == {}, "no model here is decoupled"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("model", ["digits_cnn", "image_preprocess"])
def test_models_of_measuring_backends_show_their_memory(demo_server, protocol, model):
    (usage,) = Client(protocol, demo_server).statistics(model)["memory_usage"]
    # ONNX Runtime counts the weights, 16 KB here; a plugin has at least one page of memory.
    assert usage["type"] == "CPU" and int(usage.get("id", 0)) == 0 and int(usage["byte_size"]) > 10_000


def test_by_default_there_are_counters_and_no_more(serve):
    server, client = serve()
    client.identity("tagged", FOUR)
    found = families(server)
    assert COUNTER_LATENCIES <= set(found)
    assert not {name for name in found if "summary" in name or "histogram" in name}
    assert {"nv_cpu_utilization", "nv_cpu_memory_total_bytes", "nv_cpu_memory_used_bytes"} <= set(found)
    # What this server does not have is absent, not zero.
    assert not {name for name in found if name.startswith(("nv_gpu", "nv_energy", "nv_pinned", "nv_cache"))}
    labels = [dict(sample.labels) for family in found.values() for sample in family.samples if "model" in sample.labels]
    assert {"_team": 'vision "A"', "model": "tagged", "version": "1"} in labels
    assert not any(label in labels_of_one for labels_of_one in labels for label in ("namespace", "gpu_uuid"))


def test_latency_counters_can_be_left_out_and_requests_are_still_counted(serve):
    server, client = serve("--metrics-config=counter_latencies=false", "--allow-cpu-metrics=false", "--allow-gpu-metrics=false")
    client.identity("tagged", FOUR)
    found = families(server)
    assert not COUNTER_LATENCIES & set(found)
    assert not {name for name in found if name.startswith("nv_cpu")}
    assert samples(server, "tagged")["nv_inference_request_success", ("_team", 'vision "A"')] == 1


def test_histograms_have_the_buckets_of_the_model(serve):
    server, client = serve("--metrics-config", "histogram_latencies=true")
    for _ in range(3):
        client.identity("own_buckets", FOUR)
        client.identity("tagged", FOUR)
    assert families(server)[HISTOGRAM].type == "histogram"
    own = samples(server, "own_buckets")
    buckets = {key[1][1]: value for key, value in own.items() if key[0] == f"{HISTOGRAM}_bucket"}
    assert buckets == {"0.001": 0, "60000": 3, "+Inf": 3}
    assert own[f"{HISTOGRAM}_count",] == 3
    assert own[f"{HISTOGRAM}_sum",] >= 60, "each of three requests takes 20 ms"
    bounds = [dict(key[1:])["le"] for key in samples(server, "tagged") if key[0] == f"{HISTOGRAM}_bucket"]
    assert bounds == ["100", "500", "2000", "5000", "+Inf"]


def test_summaries_have_the_quantiles_of_the_flag(serve):
    # Triton's own test has the 0.0.1.
    quantiles = "--metrics-config=summary_quantiles=0.1:0.0.1,0.7:0.01,0.75:0.01"
    server, client = serve("--metrics-config=summary_latencies=true", quantiles)
    for _ in range(5):
        client.identity("own_buckets", FOUR)
    found = families(server)
    assert SUMMARIES <= set(found) and all(found[name].type == "summary" for name in SUMMARIES)
    page = samples(server, "own_buckets")
    shown = {key[1][1]: value for key, value in page.items() if key[0] == "nv_inference_request_summary_us" and len(key) > 1}
    assert list(shown) == ["0.1", "0.7", "0.75"]
    assert all(20_000 <= value < 10_000_000 for value in shown.values()), shown
    assert list(shown.values()) == sorted(shown.values())
    assert page["nv_inference_request_summary_us_count",] == page["nv_inference_request_success",] == 5
    assert page["nv_inference_request_summary_us_sum",] == page["nv_inference_request_duration_us",]


def test_series_vanish_with_their_model(start_server, tmp_path):
    flags = ["histogram_latencies=true", "summary_latencies=true"]
    server = start_server(
        write_models(tmp_path), "--model-control-mode=explicit", "--load-model=*", *(f"--metrics-config={flag}" for flag in flags)
    )
    client = Client("http", server)
    client.identity("own_buckets", FOUR)
    before = samples(server, "own_buckets")
    assert {"nv_inference_count", f"{HISTOGRAM}_count", "nv_inference_queue_summary_us_sum"} <= {key[0] for key in before}
    client.raw.unload_model("own_buckets")
    while client.raw.is_model_ready("own_buckets"):
        pass
    # The last request is answered, so nothing keeps the generation alive once it is out of service.
    for _ in range(1000):
        if not samples(server, "own_buckets"):
            break
    assert not samples(server, "own_buckets")
    assert samples(server, "tagged")
    client.raw.load_model("own_buckets")
    assert samples(server, "own_buckets")["nv_inference_request_success",] == 0


def test_bad_buckets_fail_the_model_by_name(binary, tmp_path):
    from server import run_to_end

    control = f'metric_control {{ metric_identifier {{ family: "{HISTOGRAM}" }} histogram_options {{ buckets: [ 2, 1 ] }} }}'
    write_model(tmp_path, "wrong", identity(more=f"max_batch_size: 0\nmodel_metrics {{ {control} }}\n"))
    ended = run_to_end(binary, "check", str(tmp_path))
    assert ended.returncode == 1
    assert "histogram_options.buckets has 1 after 2, expected ascending bounds" in ended.stdout + ended.stderr
