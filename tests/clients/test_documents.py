"""Health, metadata, configuration, index, statistics and metrics, as clients read them."""

import json

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

FOUR = np.array([1, 2, 3, 4], np.float32)


def test_the_server_and_its_models_are_live_and_ready(client):
    assert client.raw.is_server_live()
    assert client.raw.is_server_ready()
    assert client.raw.is_model_ready("identity_fp32")
    assert client.raw.is_model_ready("versioned", "3")


def test_models_and_versions_that_are_not_served_are_not_ready(client):
    assert not client.raw.is_model_ready("no_such_model")
    assert not client.raw.is_model_ready("versioned", "2")


def test_the_server_introduces_itself_as_clients_expect(client):
    metadata = client.metadata()
    assert metadata["name"] == "triton"
    assert metadata["version"]
    assert {"binary_tensor_data", "model_configuration", "model_repository", "statistics"} <= set(metadata["extensions"])


def test_metadata_describes_tensors(client):
    metadata = client.metadata("two")
    assert metadata["name"] == "two" and metadata["versions"] == ["1"] and metadata["platform"] == "identity"
    tensors = {tensor["name"]: (tensor["datatype"], [int(extent) for extent in tensor["shape"]]) for tensor in metadata["inputs"]}
    assert tensors == {"FLOATS": ("FP32", [2]), "TEXTS": ("BYTES", [-1])}
    assert [tensor["name"] for tensor in metadata["outputs"]] == ["FLOATS_OUT", "TEXTS_OUT"]


def test_metadata_of_a_batching_model_has_the_batch_dimension(client):
    shape = client.metadata("batched")["inputs"][0]["shape"]
    assert [int(extent) for extent in shape] == [-1, 4]


def test_metadata_lists_the_versions_of_the_policy(client):
    assert sorted(client.metadata("versioned")["versions"]) == ["1", "3"]
    assert client.metadata("versioned", "1")["versions"] == ["1"]


def test_the_configuration_of_a_bare_onnx_model_is_completed(client):
    config = client.config("add_sub")
    assert config["backend"] == "onnxruntime"
    assert int(config["max_batch_size"]) == 4
    inputs = {tensor["name"]: (tensor["data_type"], [int(extent) for extent in tensor["dims"]]) for tensor in config["input"]}
    assert inputs == {"INPUT0": ("TYPE_INT32", [16]), "INPUT1": ("TYPE_INT32", [16])}
    assert config["version_policy"]["latest"]["num_versions"] == 1
    assert config["instance_group"], "an instance group is filled in"


def test_the_index_lists_every_model_with_its_state(client):
    index = client.index()
    assert index["identity_bf16"] == [{"name": "identity_bf16", "version": "1", "state": "READY"}] or (
        index["identity_bf16"][0]["state"] == "READY" and index["identity_bf16"][0]["version"] == "1"
    )
    assert sorted(row["version"] for row in index["versioned"] if row["state"] == "READY") == ["1", "3"]


def test_statistics_count_requests_rows_and_failures(client):
    before = client.statistics("identity_fp32")
    for _ in range(3):
        client.identity("identity_fp32", FOUR)
    with pytest.raises(InferenceServerException):
        client.identity("identity_fp32", FOUR.reshape(2, 2))
    after = client.statistics("identity_fp32")

    def gained(*path):
        values = []
        for document in (before, after):
            for key in path:
                document = document.get(key, {}) if isinstance(document, dict) else document
            values.append(int(document or 0))
        return values[1] - values[0]

    assert after["name"] == "identity_fp32" and after["version"] == "1"
    assert gained("inference_count") == 3
    assert gained("execution_count") == 3
    assert gained("inference_stats", "success", "count") == 3
    assert gained("inference_stats", "compute_infer", "count") == 3
    assert gained("inference_stats", "success", "ns") > 0
    assert int(after["last_inference"]) > 1_600_000_000_000, "milliseconds since 1970"


def metric(text: str, name: str, **labels: str) -> float:
    """The one sample of a metric that carries these labels."""
    samples = [line for line in text.splitlines() if line.startswith(name + "{") or line.startswith(name + " ")]
    fitting = [line for line in samples if all(f'{key}="{value}"' in line for key, value in labels.items())]
    assert len(fitting) == 1, f"{len(fitting)} samples of {name} {labels} among {samples}"
    return float(fitting[0].rsplit(" ", 1)[1])


def test_metrics_have_tritons_names_and_count_what_was_done(client, server):
    labels = {"model": "identity_int32", "version": "1"}
    ones = np.ones(3, np.int32)
    client.identity("identity_int32", ones, "INT32")
    before = server.metrics()
    for _ in range(5):
        client.identity("identity_int32", ones, "INT32")
    after = server.metrics()
    for name in ("nv_inference_request_success", "nv_inference_count", "nv_inference_exec_count"):
        assert metric(after, name, **labels) - metric(before, name, **labels) == 5, name
    for name in ("nv_inference_request_duration_us", "nv_inference_compute_infer_duration_us"):
        assert metric(after, name, **labels) >= metric(before, name, **labels), name
    assert metric(after, "nv_cpu_memory_total_bytes") > 2**28
    assert metric(after, "nv_inference_pending_request_count", **labels) == 0


def test_a_model_without_requests_shows_zeroes(server):
    assert metric(server.metrics(), "nv_inference_count", model="two", version="1") >= 0


def test_health_has_no_body_and_wrong_paths_and_methods_say_so(server):
    for path in ("/v2/health/live", "/v2/health/ready"):
        answer = server.get(path)
        assert (answer.status, answer.body) == (200, b"")
    for method, path, status, text in (
        ("GET", "/v2/", 404, "Not Found"),
        ("GET", "/v3", 404, "Not Found"),
        ("POST", "/v2", 405, "Method Not Allowed"),
        ("GET", "/v2/models/two/infer", 405, "Method Not Allowed"),
    ):
        answer = server.request(method, path)
        assert (answer.status, json.loads(answer.body)) == (status, {"error": text}), path
