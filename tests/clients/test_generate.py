"""`generate` and `generate_stream` over plain HTTP: every type that JSON can express, errors, and events."""

import http.client
import json

import pytest

VALUES = {
    "BOOL": [True, False],
    "UINT8": [0, 255],
    "UINT16": [0, 65535],
    "UINT32": [0, 4294967295],
    "UINT64": [0, 18446744073709551615],
    "INT8": [-128, 127],
    "INT16": [-32768, 32767],
    "INT32": [-2147483648, 2147483647],
    "INT64": [-9223372036854775808, 9223372036854775807],
    "FP32": [0.5, -1.25],
    "FP64": [0.1, 1e300],
    "BYTES": ["a\n", "ü"],
}


def answer_of(server, model: str, body: dict, action: str = "generate", headers=None):
    return server.request("POST", f"/v2/models/{model}/{action}", json.dumps(body).encode(), headers)


@pytest.mark.parametrize("data_type", VALUES)
def test_values_come_back_as_an_element_or_an_array(server, data_type):
    model = f"identity_{data_type.lower()}"
    for value in (VALUES[data_type], VALUES[data_type][0], []):
        answer = answer_of(server, model, {"id": "7", "INPUT0": value, "temperature": 0.5})
        assert answer.status == 200, answer
        expected = {"id": "7", "model_name": model, "model_version": "1", "OUTPUT0": value}
        assert json.loads(answer.body) == expected


def test_a_batching_model_gets_its_batch_dimension(server):
    answer = answer_of(server, "batched", {"parameters": {"INPUT0": [1, 2, 3, 4]}})
    assert json.loads(answer.body)["OUTPUT0"] == [1, 2, 3, 4]


def test_events_arrive_as_a_stream(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=30)
    try:
        connection.request("POST", "/v2/models/identity_bytes/versions/1/generate_stream", b'{"INPUT0":"hi"}')
        response = connection.getresponse()
        assert response.status == 200
        assert response.getheader("Content-Type") == "text/event-stream; charset=utf-8"
        line = response.readline()
        assert line.startswith(b"data: ")
        assert json.loads(line.removeprefix(b"data: "))["OUTPUT0"] == "hi"
        assert response.read() == b"\n"
    finally:
        connection.close()


@pytest.mark.parametrize("action", ["generate", "generate_stream"])
def test_failures_before_inference_are_ordinary_errors(server, action):
    unsupported = "Unsupported content-encoding, only 'identity' is supported."
    cases = [
        ("nobody", {}, {}, 404, "Request for unknown model: 'nobody' is not found"),
        ("identity_fp32", {}, {"Content-Encoding": "gzip"}, 400, unsupported),
        ("batched", {"INPUT0": 1}, {}, 400, "The schema can not convert input 'INPUT0' to tensor with proper shape"),
        ("identity_fp32", {}, {}, 400, "expected 1 inputs but got 0 inputs for model 'identity_fp32'"),
    ]
    for model, body, headers, status, text in cases:
        answer = answer_of(server, model, body, action, headers)
        assert (answer.status, answer.headers["content-type"]) == (status, "application/json"), answer
        assert text in json.loads(answer.body)["error"]
