"""Every data type through every way that a tensor can travel, bit for bit."""

import ml_dtypes
import numpy as np
import pytest
from repository import DATA_TYPES

EXTREMES = {
    "BOOL": np.array([True, False, True]),
    "FP16": np.array([0, -1.5, 65504, 6e-8], np.float16),
    "BF16": np.array([0, -1.5, 3.3e38, 1e-38], ml_dtypes.bfloat16),
    "FP32": np.array([0.1, -0.0, 3.4e38, 1e-45], np.float32),
    "FP64": np.array([0.1, -0.0, 1.7e308, 5e-324], np.float64),
    "BYTES": np.array([b"", b"plain", "Grüße, 世界".encode(), b'quotes " and \\ and \n'], np.object_),
}
for _name in ("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"):
    _limits = np.iinfo(_name.lower())
    EXTREMES[_name] = np.array([_limits.min, 0, 7, _limits.max], _name.lower())

NOT_IN_JSON = ("FP16", "BF16")


def assert_same(found: np.ndarray, sent: np.ndarray):
    assert found.dtype == sent.dtype and found.shape == sent.shape
    if sent.dtype == np.object_:
        # tritonclient gives text where the answer came as JSON, bytes where it came as bytes.
        elements = [element.encode() if isinstance(element, str) else element for element in found.reshape(-1)]
        assert elements == list(sent.reshape(-1))
    else:
        assert found.tobytes() == sent.tobytes(), f"{found} for {sent}"


@pytest.mark.parametrize("data_type", DATA_TYPES)
def test_every_type_comes_back_as_it_was_sent(client, data_type):
    sent = EXTREMES[data_type]
    assert_same(client.identity(f"identity_{data_type.lower()}", sent, data_type), sent)


@pytest.mark.parametrize("data_type", [name for name in DATA_TYPES if name not in NOT_IN_JSON])
@pytest.mark.parametrize("client", ["http"], indirect=True)
@pytest.mark.parametrize("forms", ["json-json", "json-binary", "binary-json"])
def test_json_and_binary_mix(client, data_type, forms):
    binary_in, binary_out = (form == "binary" for form in forms.split("-"))
    sent = EXTREMES[data_type]
    inputs = [client.input("INPUT0", sent, data_type, binary_in)]
    result = client.raw.infer(f"identity_{data_type.lower()}", inputs, outputs=[client.output("OUTPUT0", binary_out)])
    assert_same(result.as_numpy("OUTPUT0"), sent)


@pytest.mark.parametrize("data_type", DATA_TYPES)
def test_empty_tensors_are_tensors(client, data_type):
    sent = EXTREMES[data_type][:0]
    assert_same(client.identity(f"identity_{data_type.lower()}", sent, data_type), sent)


def test_all_types_at_once_through_onnx_runtime(client):
    sent = {name: np.stack([values[:2], values[1:3]]) for name, values in EXTREMES.items()}
    inputs = [client.input(f"IN_{name}", values, name) for name, values in sent.items()]
    result = client.infer("identity_all_types", *inputs)
    for name, values in sent.items():
        assert_same(result.as_numpy(f"OUT_{name}"), values)


def test_random_bytes_of_a_megabyte_survive(client):
    random = np.random.default_rng(7)
    sent = random.standard_normal(262_144).astype(np.float32)
    assert_same(client.identity("identity_fp32", sent), sent)
    texts = np.array([random.bytes(length) for length in random.integers(0, 3000, 300)], np.object_)
    assert_same(client.identity("identity_bytes", texts, "BYTES"), texts)


@pytest.mark.parametrize("first_binary", [False, True])
@pytest.mark.parametrize("client", ["http"], indirect=True)
def test_inputs_of_one_request_travel_each_in_its_own_way(client, first_binary):
    floats, texts = np.array([1.5, -2], np.float32), np.array([b"a", b"bc"], np.object_)
    result = client.raw.infer(
        "two",
        [client.input("FLOATS", floats, "FP32", first_binary), client.input("TEXTS", texts, "BYTES", not first_binary)],
        outputs=[client.output("TEXTS_OUT", first_binary), client.output("FLOATS_OUT", not first_binary)],
    )
    assert_same(result.as_numpy("FLOATS_OUT"), floats)
    assert_same(result.as_numpy("TEXTS_OUT"), texts)


def test_without_a_list_of_outputs_all_of_them_come(client):
    floats, texts = np.array([1, 2], np.float32), np.array([b"x"], np.object_)
    result = client.infer("two", client.input("FLOATS", floats, "FP32"), client.input("TEXTS", texts, "BYTES"))
    assert_same(result.as_numpy("FLOATS_OUT"), floats)
    assert_same(result.as_numpy("TEXTS_OUT"), texts)


def test_only_the_outputs_asked_for_come(client):
    floats, texts = np.array([1, 2], np.float32), np.array([b"x"], np.object_)
    inputs = [client.input("FLOATS", floats, "FP32"), client.input("TEXTS", texts, "BYTES")]
    result = client.raw.infer("two", inputs, outputs=[client.output("TEXTS_OUT")])
    assert_same(result.as_numpy("TEXTS_OUT"), texts)
    assert result.as_numpy("FLOATS_OUT") is None


@pytest.mark.parametrize("model", ["ensemble", "plugin_identity"])
def test_ensembles_and_plugins_are_models_like_any_other(client, model):
    sent = np.arange(100_000, dtype=np.float32)
    assert_same(client.identity(model, sent), sent)


def test_strings_of_any_shape_go_through_onnx_runtime(client):
    sent = np.array([[b"", "ß".encode(), b"three"], [b"a" * 5000, b"\n", b"6"]], np.object_)
    result = client.infer("string_identity", client.input("TEXT", sent, "BYTES"))
    assert_same(result.as_numpy("SAME"), sent)


def test_the_request_id_and_the_version_come_back(client):
    array = np.ones(2, np.float32)
    result = client.infer("versioned", client.input("INPUT0", array, "FP32"), request_id="my request", model_version="1")
    response = result.get_response()
    found = response if isinstance(response, dict) else {"id": response.id, "model_version": response.model_version}
    assert (found["id"], found["model_version"]) == ("my request", "1")
    latest = client.infer("versioned", client.input("INPUT0", array, "FP32")).get_response()
    assert (latest["model_version"] if isinstance(latest, dict) else latest.model_version) == "3"
