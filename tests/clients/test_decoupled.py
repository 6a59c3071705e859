"""Decoupled models as clients meet them: no response, one, or many, over streams and as events."""

import asyncio
import http.client
import json

import numpy as np
import pytest
import tritonclient.grpc.aio
from clients import PROTOCOLS, Client
from repository import identity, write_model
from server import Server
from streams import (
    DECOUPLED,
    NEVER_MILLISECONDS,
    Stream,
    is_final,
    repeat_inputs,
    response_counts,
    statistics,
    tensor,
    wait_until,
    write_repeat,
    write_square,
)
from test_perf_analyzer import check, measure, perf_analyzer  # noqa: F401  (a fixture)
from trace_file import read_traces
from tritonclient.utils import InferenceServerException


def reshaped(kind: str, name: str, data_type: str, dims: str, reshape: str) -> str:
    return f'{kind} {{ name: "{name}" data_type: {data_type} dims: [ {dims} ] reshape {{ shape: [ {reshape} ] }} }}\n'


def write_reshaped_models(models):
    """Clients see one more dimension than the models."""
    inputs = reshaped("input", "IN", "TYPE_INT32", "1, -1", "-1") + reshaped("input", "DELAY", "TYPE_UINT32", "1, -1", "-1")
    inputs += 'input { name: "WAIT" data_type: TYPE_UINT32 dims: [ 1 ] }\n'
    outputs = reshaped("output", "OUT", "TYPE_INT32", "1, 1", "1") + 'output { name: "IDX" data_type: TYPE_UINT32 dims: [ 1 ] }\n'
    write_model(models, "reshaped", 'backend: "repeat"\n' + DECOUPLED + inputs + outputs)
    steps = 'model_name: "reshaped" model_version: -1 output_map { key: "OUT" value: "OUT" } '
    steps += " ".join(f'input_map {{ key: "{name}" value: "{name}" }}' for name in ("IN", "DELAY", "WAIT"))
    inputs = reshaped("input", "IN", "TYPE_INT32", "-1", "1, -1") + reshaped("input", "DELAY", "TYPE_UINT32", "-1", "1, -1")
    inputs += 'input { name: "WAIT" data_type: TYPE_UINT32 dims: [ 1 ] }\n'
    outputs = reshaped("output", "OUT", "TYPE_INT32", "1, 1, 1", "1, 1")
    write_model(models, "around", f'platform: "ensemble"\n{inputs}{outputs}ensemble_scheduling {{ step {{ {steps} }} }}\n')


def write_models(models):
    write_reshaped_models(models)
    write_repeat(models)
    write_square(models)
    failures = 'parameters { key: "CUSTOM_FAIL_COUNT" value { string_value: "1" } }\n'
    write_square(models, "failing", failures)
    write_model(models, "once", identity("TYPE_INT32", more=DECOUPLED))


@pytest.fixture(scope="module")
def decoupled_server(binary, tmp_path_factory):
    models = tmp_path_factory.mktemp("decoupled")
    write_models(models)
    with Server(binary, tmp_path_factory.mktemp("decoupled_server") / "log", [models]) as running:
        yield running
        running.terminate()
        assert running.wait() == 0, running.log_text()[-4000:]


@pytest.fixture
def own_server(start_server, tmp_path):
    """One whose statistics belong to the test."""

    def start(*flags: str):
        models = tmp_path / "models"
        write_models(models)
        return start_server(models, *flags)

    return start


@pytest.fixture
def stream(decoupled_server):
    with Stream(decoupled_server) as opened:
        yield opened


@pytest.mark.parametrize("requests", [1, 5])
@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("wait", [0, 20])
def test_every_request_gets_its_responses_in_their_order(stream, requests, count, wait):
    inputs = repeat_inputs(list(range(100, 100 + count)), [5] * count, wait)
    for number in range(requests):
        stream.send("repeat_int32", inputs, request_id=str(number), enable_empty_final_response=True)
    found = {str(number): [] for number in range(requests)}
    for _ in range(requests * (count + 1)):
        result = stream.next()
        outputs = None if is_final(result) else (result.as_numpy("OUT").tolist(), result.as_numpy("IDX").tolist())
        found[result.get_response().id].append(outputs)
    expected = [([100 + index], [index]) for index in range(count)]
    assert found == {name: [*expected, None] for name in found}


def test_the_end_is_told_to_those_who_ask(stream):
    stream.send("square_int32", [tensor("IN", [2], "INT32")], request_id="quiet")
    stream.send("square_int32", [tensor("IN", [0], "INT32")], request_id="nothing")
    stream.send("square_int32", [tensor("IN", [0], "INT32")], request_id="told", enable_empty_final_response=True)
    found = [stream.next() for _ in range(3)]
    assert sorted((result.get_response().id, is_final(result)) for result in found) == [
        ("quiet", False), ("quiet", False), ("told", True),
    ]  # fmt: skip
    told = next(result.get_response() for result in found if result.get_response().id == "told")
    assert (told.model_name, list(told.outputs)) == ("square_int32", [])


def test_the_final_flag_rides_on_a_response_that_is_the_last(stream):
    stream.send("once", [tensor("INPUT0", [7], "INT32")], enable_empty_final_response=True)
    result = stream.next()
    assert (result.as_numpy("OUTPUT0").tolist(), is_final(result)) == ([7], True)


def test_only_the_outputs_asked_for_are_sent(stream):
    outputs = [tritonclient.grpc.InferRequestedOutput("IDX")]
    (result,) = stream.ask("repeat_int32", repeat_inputs([9]), outputs=outputs)
    assert [output.name for output in result.get_response().outputs] == ["IDX"]


@pytest.mark.parametrize("model,sent,expected", [("reshaped", [1, 3], [1, 1]), ("around", [3], [1, 1, 1])])
def test_every_response_has_the_shape_that_clients_see(stream, model, sent, expected):
    elements, delays = np.array([7, 8, 9]).reshape(sent), np.zeros(sent)
    inputs = [tensor("IN", elements, "INT32"), tensor("DELAY", delays, "UINT32"), tensor("WAIT", [0], "UINT32")]
    found = [result.as_numpy("OUT") for result in stream.ask(model, inputs)]
    assert [(answer.shape, answer.item()) for answer in found] == [(tuple(expected), element) for element in (7, 8, 9)]
    with pytest.raises(InferenceServerException, match=f"unexpected shape for input 'IN' for model '{model}'"):
        stream.ask(model, [tensor("IN", [[7, 8], [9, 10]], "INT32"), *inputs[1:]])


def test_a_failure_is_a_response_and_the_stream_goes_on(stream):
    stream.send("failing", [tensor("IN", [2], "INT32")])
    assert stream.next().as_numpy("OUT").tolist() == [2]
    with pytest.raises(InferenceServerException, match="simulated failure"):
        stream.next()
    assert len(stream.ask("square_int32", [tensor("IN", [3], "INT32")])) == 3


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_unary_inference_is_refused(decoupled_server, protocol):
    client = Client(protocol, decoupled_server)
    kinds = {"IN": ("INT32", np.int32), "DELAY": ("UINT32", np.uint32), "WAIT": ("UINT32", np.uint32)}
    inputs = [client.input(name, np.zeros(1, kind), data_type) for name, (data_type, kind) in kinds.items()]
    with pytest.raises(InferenceServerException, match="doesn't support models with decoupled transaction policy"):
        client.infer("repeat_int32", *inputs)
    client.close()


def test_a_client_that_leaves_stops_the_responses(own_server):
    server = own_server()
    with Stream(server) as stream:
        stream.send("repeat_int32", repeat_inputs([1, 2, 3], [0, NEVER_MILLISECONDS, 0], NEVER_MILLISECONDS))
        assert stream.next().as_numpy("OUT").tolist() == [1]
        stream.cancel()
    # The instance is free again as well: it would be held for an hour.
    wait_until(lambda: response_counts(server, "repeat_int32").get("1", {}).get("cancel") == 1)
    with Stream(server) as stream:
        assert len(stream.ask("repeat_int32", repeat_inputs([1]))) == 1
    server.terminate()
    assert server.wait() == 0, server.log_text()


def test_statistics_tell_the_responses_apart(own_server):
    server = own_server()
    with Stream(server) as stream:
        for elements in ([1, 2], [1], []):
            stream.ask("repeat_int32", repeat_inputs(elements))
        stream.send("failing", [tensor("IN", [2], "INT32")], enable_empty_final_response=True)
        stream.next()
        with pytest.raises(InferenceServerException):
            stream.next()
        assert is_final(stream.next())
    # The end counts as a response that is empty, at its place.
    assert response_counts(server, "repeat_int32") == {
        "0": {"compute_infer": 3, "compute_output": 2, "success": 2, "empty_response": 1},
        "1": {"compute_infer": 2, "compute_output": 1, "success": 1, "empty_response": 1},
        "2": {"compute_infer": 1, "empty_response": 1},
    }
    kinds = {index: sorted(row) for index, row in response_counts(server, "failing").items()}
    assert [kinds["0"][-1], kinds["1"][-1], kinds["2"][-1]] == ["success", "fail", "empty_response"]
    inference = statistics(server, "repeat_int32")
    assert (inference["inference_count"], inference["inference_stats"]["success"]["count"]) == (3, 3)
    client = Client("grpc", server)
    assert client.statistics("repeat_int32")["response_stats"]["0"]["success"]["count"] == "2"
    client.close()


def test_a_trace_shows_every_response(own_server, tmp_path):
    file = tmp_path / "trace.json"
    settings = ["level=TIMESTAMPS", "level=TENSORS", "rate=1", f"triton,file={file}"]
    server = own_server(*(f"--trace-config={setting}" for setting in settings))
    with Stream(server) as stream:
        stream.ask("repeat_int32", repeat_inputs([7, 8]), request_id="traced")
    server.terminate()
    assert server.wait() == 0, server.log_text()
    (trace,) = read_traces(file)
    assert (trace.model, trace.request_id) == ("repeat_int32", "traced")
    assert {"REQUEST_START", "COMPUTE_START", "COMPUTE_END", "REQUEST_END"} <= set(trace.names)
    assert trace.names.count("INFER_RESPONSE_COMPLETE") == 2, trace.names
    outputs = [(row["name"], row["data"]) for activity, row in trace.tensors if activity == "TENSOR_BACKEND_OUTPUT"]
    assert outputs == [("OUT", "7"), ("IDX", "0"), ("OUT", "8"), ("IDX", "1")]


def test_the_asynchronous_client_iterates_over_responses(decoupled_server):
    async def ask():
        async def requests():
            yield {"model_name": "square_int32", "inputs": [tensor("IN", [4], "INT32")], "request_id": "4"}

        async with tritonclient.grpc.aio.InferenceServerClient(decoupled_server.grpc_url) as client:
            return [result.as_numpy("OUT").tolist() async for result, _ in client.stream_infer(requests())]

    assert asyncio.run(ask()) == [[4]] * 4


def test_events_arrive_as_they_are_made(own_server):
    """The second would come in an hour."""
    server = own_server()
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=30)
    body = {"id": "e", "IN": [7, 8], "DELAY": [0, NEVER_MILLISECONDS], "WAIT": 0}
    connection.request("POST", "/v2/models/repeat_int32/generate_stream", json.dumps(body))
    response = connection.getresponse()
    event = response.readline().removeprefix(b"data: ")
    expected = {"id": "e", "model_name": "repeat_int32", "model_version": "1", "OUT": 7, "IDX": 0}
    assert (response.status, json.loads(event)) == (200, expected)
    connection.sock.close() if connection.sock else response.close()
    response.close()
    connection.close()
    wait_until(lambda: response_counts(server, "repeat_int32").get("1", {}).get("cancel") == 1)


def test_perf_analyzer_measures_a_stream(perf_analyzer, own_server, tmp_path):  # noqa: F811
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"data": [{"IN": [1, 2, 3], "DELAY": [0, 0, 0], "WAIT": [0]}]}))
    shapes = ["--shape=IN:3", "--shape=DELAY:3"]
    options = [f"--input-data={data}", *shapes, "--streaming", "--concurrency-range=2"]
    check(measure(perf_analyzer, own_server(), "repeat_int32", "grpc", *options))
