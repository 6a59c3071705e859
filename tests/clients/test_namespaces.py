"""--model-namespacing: two repositories with a model of the same name, and ensembles that choose between them."""

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import identity, write_model
from tritonclient.utils import InferenceServerException

ONE = np.ones(1, np.float32)

ENSEMBLE = """
platform: "ensemble"
input { name: "INPUT0" data_type: TYPE_FP32 dims: [ -1 ] }
output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ -1 ] }
ensemble_scheduling { step {
  model_name: "same" NAMESPACE
  input_map { key: "INPUT0" value: "INPUT0" }
  output_map { key: "OUTPUT0" value: "OUTPUT0" }
} }
"""


@pytest.fixture
def two(tmp_path):
    """Repositories that both have `same`; an ensemble in each, and one in the first that names the second."""
    a, b = tmp_path / "a", tmp_path / "b"
    for folder in (a, b):
        write_model(folder, "same", identity())
        write_model(folder, f"ensemble_{folder.name}", ENSEMBLE.replace("NAMESPACE", ""))
    write_model(a, "across", ENSEMBLE.replace("NAMESPACE", f'model_namespace: "{b}"'))
    return a, b


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_ambiguous_name_is_refused_and_everything_else_answers(start_server, two, protocol):
    a, b = two
    server = start_server(a, b, "--model-namespacing=true")
    client = Client(protocol, server)
    for attempt in (lambda: client.identity("same", ONE), lambda: client.metadata("same"), lambda: client.config("same")):
        with pytest.raises(InferenceServerException, match="There are 2 identifiers of model 'same' in global map"):
            attempt()
    with pytest.raises(InferenceServerException, match="There are 2 identifiers of model 'same'"):
        client.raw.get_inference_statistics("same")
    with pytest.raises(InferenceServerException, match="Request for unknown model: 'stranger' is not found") as refused:
        client.identity("stranger", ONE)
    assert refused.value.status() in ("400", "StatusCode.INVALID_ARGUMENT")
    assert not client.raw.is_model_ready("same")
    assert [row["state"] for row in client.index()["same"]] == ["READY", "READY"]
    for ensemble, namespace in (("ensemble_a", a), ("ensemble_b", b), ("across", b)):
        assert client.identity(ensemble, ONE)[0] == 1
        step = client.config(ensemble)["ensemble_scheduling"]["step"][0]
        assert step["model_namespace"] == str(namespace)
    page = server.metrics().splitlines()
    for namespace, executions in ((a, 1), (b, 2)):
        series = f'nv_inference_exec_count{{model="same",namespace="{namespace}",version="1"}}'
        assert f"{series} {executions}" in page, "the second is called by ensemble_b and by across"
    client.close()


def test_a_namespace_before_the_name_says_which_over_grpc(start_server, two):
    a, b = two
    client = Client("grpc", start_server(a, b, "--model-namespacing=true"))
    assert client.raw.is_model_ready(f"{a}::same") and client.raw.is_model_ready(f"{b}::same")
    assert client.identity(f"{a}::same", ONE)[0] == 1
    client.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_control_is_of_every_model_of_a_name(start_server, two, protocol):
    client = Client(protocol, start_server(*two, "--model-namespacing", "--model-control-mode=explicit"))
    client.raw.load_model("same")
    assert [row["state"] for row in client.index()["same"]] == ["READY", "READY"]
    client.raw.unload_model("same")
    assert [row["reason"] for row in client.index()["same"]] == ["unloaded", "unloaded"]
    client.close()


def test_without_the_flag_the_name_is_unavailable(start_server, two):
    a, b = two
    client = Client("http", start_server(a, b, "--exit-on-error=false", "--strict-readiness=false"))
    assert client.index()["same"][0]["reason"] == "model appears in two or more repositories"
    with pytest.raises(InferenceServerException, match="is not found"):
        client.identity("same", ONE)
    client.close()
