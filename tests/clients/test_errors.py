"""What a client is told when its request is wrong: the status and, where Triton's clients match on it, the exact text."""

import json
import re

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

FLOATS = np.array([1, 2], np.float32)
TEXTS = np.array([b"x"], np.object_)


def complaint(client, model: str, *inputs, **options) -> tuple[str, str]:
    """Status and text of an inference that must fail; the text without the request's own prefix."""
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, *inputs, **options)
    text = caught.value.message().removeprefix("[request id: <id_unknown>] ")
    return (caught.value.status() or "").removeprefix("StatusCode."), text


def status_of(client, http: str, grpc: str) -> str:
    return http if client.protocol == "http" else grpc


def floats(client, array=FLOATS, data_type="FP32", name="INPUT0"):
    return client.input(name, array, data_type)


def test_an_unknown_model(client):
    expected = status_of(client, "404", "NOT_FOUND"), "Request for unknown model: 'nobody' is not found"
    assert complaint(client, "nobody", floats(client)) == expected


def test_an_unknown_version(client):
    expected = status_of(client, "404", "NOT_FOUND"), "Request for unknown model: 'versioned' version 9 is not found"
    assert complaint(client, "versioned", floats(client), model_version="9") == expected


def test_an_unknown_input(client):
    status, text = complaint(client, "identity_fp32", floats(client, name="INPUT7"))
    assert status == status_of(client, "400", "INVALID_ARGUMENT")
    assert "'INPUT7'" in text or "'INPUT0'" in text and "identity_fp32" in text


def test_a_missing_input_is_named_with_those_that_came(client):
    status, text = complaint(client, "two", client.input("FLOATS", FLOATS, "FP32"))
    assert status == status_of(client, "400", "INVALID_ARGUMENT")
    assert text == (
        "expected 2 inputs but got 1 inputs for model 'two'. Got input(s) ['FLOATS'], but missing required input(s) "
        "['TEXTS']. Please provide all required input(s)."
    )


def test_an_unknown_output(client):
    outputs = [client.output("NOTHING")]
    status, text = complaint(client, "identity_fp32", floats(client), outputs=outputs)
    assert (status, text) == (
        status_of(client, "400", "INVALID_ARGUMENT"),
        "unexpected inference output 'NOTHING' for model 'identity_fp32'",
    )


def test_a_wrong_data_type(client):
    status, text = complaint(client, "identity_fp32", floats(client, FLOATS.astype(np.int32), "INT32"))
    assert status == status_of(client, "400", "INVALID_ARGUMENT")
    assert text == "inference input 'INPUT0' data-type is 'INT32', but model 'identity_fp32' expects 'FP32'"


def test_a_wrong_shape(client):
    status, text = complaint(client, "identity_fp32", floats(client, FLOATS.reshape(1, 2)))
    assert status == status_of(client, "400", "INVALID_ARGUMENT")
    assert text.startswith("unexpected shape for input 'INPUT0' for model 'identity_fp32'. Expected [-1], got [1,2].")


def test_a_wrong_shape_of_a_batching_model_has_the_note(client):
    _, text = complaint(client, "batched", floats(client, np.zeros((1, 5), np.float32)))
    assert text.startswith("unexpected shape for input 'INPUT0' for model 'batched'. Expected [-1,4], got [1,5].")
    assert "NOTE: Setting a non-zero max_batch_size" in text


def test_a_batch_that_is_too_large(client):
    status, text = complaint(client, "batched", floats(client, np.zeros((9, 4), np.float32)))
    assert (status, text) == (
        status_of(client, "400", "INVALID_ARGUMENT"),
        "inference request batch-size must be <= 8 for 'batched'",
    )


def test_the_request_id_stands_before_the_text(client):
    with pytest.raises(InferenceServerException) as caught:
        client.infer("identity_fp32", floats(client, FLOATS.reshape(1, 2)), request_id="seven")
    assert caught.value.message().startswith("[request id: seven] unexpected shape")


def test_unknown_models_have_no_documents(client):
    for ask in (client.metadata, client.config):
        with pytest.raises(InferenceServerException, match="Request for unknown model: 'nobody' is not found"):
            ask("nobody")
    with pytest.raises(InferenceServerException, match="requested model 'nobody' is not available"):
        client.statistics("nobody")


def test_loading_is_refused_where_nobody_controls_models(client):
    for call in (client.raw.load_model, client.raw.unload_model):
        with pytest.raises(InferenceServerException, match="explicit model load / unload is not allowed") as caught:
            call("identity_fp32")
        assert (caught.value.status() or "").endswith(status_of(client, "503", "UNAVAILABLE"))


@pytest.mark.parametrize("mode", ["error", "panic", "wrong-name", "wrong-type", "wrong-shape", "nothing", "allocate"])
def test_a_misbehaving_plugin_fails_its_own_request_only(client, mode):
    with pytest.raises(InferenceServerException) as caught:
        client.infer("plugin_hostile", floats(client), parameters={"mode": mode})
    assert "plugin_hostile" in caught.value.message() or mode == "error", caught.value.message()
    found = client.identity("plugin_hostile", FLOATS, parameters={"mode": "behave"})
    assert found.tobytes() == FLOATS.tobytes(), "the next request is served by a fresh instance"


def infer_http(server, model: str, body: bytes, header_length: str | None = None):
    headers = {} if header_length is None else {"Inference-Header-Content-Length": header_length}
    return server.request("POST", f"/v2/models/{model}/infer", body, headers)


def document(**changes) -> dict:
    tensor = {"name": "INPUT0", "shape": [2], "datatype": "FP32", "data": [1, 2]} | changes
    return {"inputs": [{key: value for key, value in tensor.items() if value is not None}]}


BAD_DOCUMENTS = {
    "nothing": b"",
    "not JSON": b"{",
    "not an object": b"[1]",
    "no inputs": b"{}",
    "deep nesting": b'{"inputs":' + b"[" * 100_000,
    "data of another type": json.dumps(document(data=["a", "b"])).encode(),
    "a float for an integer shape": json.dumps(document(shape=[2.5])).encode(),
    "a negative extent": json.dumps(document(shape=[-2])).encode(),
    "too few elements": json.dumps(document(data=[1])).encode(),
    "too many elements": json.dumps(document(data=[1, 2, 3])).encode(),
    "a shape beyond all memory": json.dumps(document(shape=[2**62, 2**62])).encode(),
    "an unknown data type": json.dumps(document(datatype="FP31")).encode(),
    "neither data nor bytes": json.dumps(document(data=None)).encode(),
    "invalid UTF-8": b'{"inputs": [{"name": "\xff\xfe"}]}',
}


@pytest.mark.parametrize("case", BAD_DOCUMENTS)
def test_a_bad_document_is_explained_and_the_server_goes_on(server, case):
    answer = infer_http(server, "identity_fp32", BAD_DOCUMENTS[case])
    assert answer.status in (400, 500), answer
    assert set(json.loads(answer.body)) == {"error"} and len(json.loads(answer.body)["error"]) > 10, answer
    assert server.get("/v2/health/ready").status == 200


@pytest.mark.parametrize("length", ["-1", "x", "100000000000000000000", "9999", "1", "999999"])
def test_a_wrong_header_length_is_explained(server, length):
    body = json.dumps(document(data=None, parameters={"binary_data_size": 8})).encode() + FLOATS.tobytes()
    answer = infer_http(server, "identity_fp32", body, length)
    assert answer.status in (400, 500), answer
    assert json.loads(answer.body)["error"], answer


@pytest.mark.parametrize("size", [0, 4, 7, 9, 16, 2**40])
def test_binary_sizes_must_fit_the_body_and_the_shape(server, size):
    head = json.dumps(document(data=None, parameters={"binary_data_size": size})).encode()
    answer = infer_http(server, "identity_fp32", head + FLOATS.tobytes(), str(len(head)))
    assert answer.status == 400, answer
    assert "INPUT0" in json.loads(answer.body)["error"] or "identity_fp32" in json.loads(answer.body)["error"], answer


@pytest.mark.parametrize("elements", [b"\x04\x00\x00\x00abc", b"\xff\xff\xff\xff", b"\x01\x00", b"\x01\x00\x00\x00ab"])
def test_strings_must_fit_their_lengths(server, elements):
    tensor = document(data=None, shape=[1], datatype="BYTES", parameters={"binary_data_size": len(elements)})
    head = json.dumps(tensor).encode()
    answer = infer_http(server, "identity_bytes", head + elements, str(len(head)))
    assert answer.status == 400 and "INPUT0" in json.loads(answer.body)["error"], answer


def test_an_unknown_model_wins_over_a_bad_body(server):
    answer = infer_http(server, "nobody", b"{")
    assert (answer.status, json.loads(answer.body)["error"]) == (404, "Request for unknown model: 'nobody' is not found")


def test_half_floats_cannot_be_json(server):
    answer = infer_http(server, "identity_fp16", json.dumps(document(datatype="FP16")).encode())
    assert answer.status == 400
    assert re.search("FP16 data via JSON is not supported", json.loads(answer.body)["error"])


def test_names_with_strange_characters_are_only_unknown(server):
    for name in ("%2F", "..%2F..%2Fetc", "%00", "%FF", "a" * 5000):
        answer = server.get(f"/v2/models/{name}")
        assert answer.status in (400, 404, 414), f"{name[:20]}: {answer}"
