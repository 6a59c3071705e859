"""Warm-up requests run before a model is ready, on every kind of backend, and a failing one fails the load by name."""

import numpy as np
import pytest
from clients import Client
from repository import identity, write_model, write_onnx_models
from tritonclient.utils import InferenceServerException

SAMPLE = """model_warmup [ {{ name: "first" batch_size: 1 count: 3
  inputs {{ key: "INPUT0" value: {{ data_type: {type} dims: [ {dims} ] {data} }} }} }} ]
"""


def sample(data: str = "zero_data: true", dims: str = "2", data_type: str = "TYPE_FP32") -> str:
    return SAMPLE.format(data=data, dims=dims, type=data_type)


@pytest.fixture
def client(start_server, tmp_path):
    """A client of a server in explicit mode, the folder of its models, and the server."""
    folder = tmp_path / "models"
    folder.mkdir()
    server = start_server(folder, "--model-control-mode=explicit")
    client = Client("http", server)
    yield client, folder, server
    client.close()


def test_a_model_that_is_warm_has_counted_nothing(client):
    client, folder, _ = client
    write_model(folder, "warm", identity() + sample("random_data: true"))
    client.raw.load_model("warm")
    statistics = client.raw.get_inference_statistics("warm")["model_stats"][0]
    assert (statistics["inference_count"], statistics["execution_count"]) == (0, 0)
    assert client.identity("warm", np.ones(1, np.float32))[0] == 1


def test_the_warm_up_takes_place_before_the_load_is_answered(client):
    client, folder, server = client
    delay = 'parameters { key: "execute_delay_ms" value: { string_value: "300" } }\n'
    write_model(folder, "slow", identity() + delay + sample())
    client.raw.load_model("slow")
    series = next(line for line in server.metrics().splitlines() if line.startswith('nv_model_load_duration_secs{model="slow"'))
    assert float(series.split()[-1]) >= 0.9, "three executions of 300 ms each"


def test_files_below_warmup_are_read(client):
    client, folder, _ = client
    write_model(folder, "filed", identity() + sample('input_data_file: "raw"'))
    (folder / "filed/warmup").mkdir()
    (folder / "filed/warmup/raw").write_bytes(np.array([1, 2], np.float32).tobytes())
    client.raw.load_model("filed")
    assert client.identity("filed", np.ones(1, np.float32))[0] == 1


@pytest.mark.parametrize(
    "warmup, expected",
    [
        (sample('input_data_file: "../../secret"'), "warm-up sample 'first' of model 'bad': input 'INPUT0' has the file"),
        (sample(data_type="TYPE_INT8"), "data-type is 'INT8', but model 'bad' expects 'FP32'"),
        (sample(dims="-1"), "input 'INPUT0' has a dimension of -1"),
        (sample(data=""), "must specify one of 'zero_data', 'random_data' and 'input_data_file'"),
    ],
)
def test_a_sample_that_cannot_run_fails_the_load_by_name(client, warmup, expected):
    client, folder, _ = client
    write_model(folder, "bad", identity() + warmup)
    (folder / "secret").write_bytes(b"12345678")
    with pytest.raises(InferenceServerException, match="load failed for model 'bad'") as refused:
        client.raw.load_model("bad")
    assert expected in str(refused.value)


def test_an_execution_that_fails_fails_the_load(client):
    client, folder, _ = client
    write_onnx_models(folder)
    (folder / "add_sub/config.pbtxt").write_text(
        'model_warmup [ { name: "odd" batch_size: 1 inputs { key: "INPUT0" value: '
        "{ data_type: TYPE_FP32 dims: [ 16 ] zero_data: true } } } ]\n"
    )
    with pytest.raises(InferenceServerException, match="expected 2 inputs but got 1 inputs for model 'add_sub'"):
        client.raw.load_model("add_sub")
