"""Ensembles with decoupled members: each response flows on by itself, in order, bounded, and stops with its client."""

import json
import shutil

import grpc
import pytest
from clients import PROTOCOLS, Client
from repository import identity, tensors, write_model
from server import ROOT, Server, run_to_end
from streams import (
    NEVER_MILLISECONDS,
    ONE_OUTPUT,
    REPEAT_INPUTS,
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
from test_memory import resident_kib
from test_perf_analyzer import check, measure, perf_analyzer  # noqa: F401  (a fixture)
from trace_file import read_traces
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

REPEAT = ("repeat_int32", {"IN": "IN", "DELAY": "DELAY", "WAIT": "WAIT"}, {"OUT": "repeated"})
SQUARE = ("square_int32", {"IN": "repeated"}, {"OUT": "OUT"})


def ensemble(*steps, outputs: str = ONE_OUTPUT, inputs: str = REPEAT_INPUTS, more: str = "") -> str:
    """Steps are a model, what it takes and what it makes, each by the model's name for it."""

    def maps(kind: str, names: dict) -> str:
        return " ".join(f'{kind} {{ key: "{name}" value: "{tensor}" }}' for name, tensor in names.items())

    texts = (
        f'step {{ model_name: "{model}" model_version: -1 {maps("input_map", taken)} {maps("output_map", made)} }}'
        for model, taken, made in steps
    )
    return f'platform: "ensemble"\n{inputs}{outputs}ensemble_scheduling {{ {more} {" ".join(texts)} }}\n'


def write_models(models):
    write_repeat(models)
    write_square(models)
    write_square(models, "failing", 'parameters { key: "CUSTOM_FAIL_COUNT" value { string_value: "1" } }\n')
    two = tensors("input", ("A", "TYPE_INT32", "1"), ("B", "TYPE_INT32", "1"))
    two += tensors("output", ("A_OUT", "TYPE_INT32", "1"), ("B_OUT", "TYPE_INT32", "1"))
    write_model(models, "pair", 'backend: "identity"\n' + two)
    write_model(models, "identity_int32", identity("TYPE_INT32", "1") + "instance_group { count: 4 }\n")
    (models / "fill/1").mkdir(parents=True)
    shutil.copy(ROOT / "tests/models/fill.onnx", models / "fill/1/model.onnx")

    follow = ("identity_int32", {"INPUT0": "repeated"}, {"OUTPUT0": "OUT"})
    join = ("pair", {"A": "repeated", "B": "through"}, {"A_OUT": "OUT", "B_OUT": "OTHER"})
    through = ("identity_int32", {"INPUT0": "repeated"}, {"OUTPUT0": "through"})
    both = tensors("output", ("OUT", "TYPE_INT32", "1"), ("OTHER", "TYPE_INT32", "1"))
    nested = ("simple_repeat", REPEAT[1], {"OUT": "repeated"})
    write_model(models, "simple_repeat", ensemble(REPEAT, follow))
    write_model(models, "repeat_square", ensemble(REPEAT, SQUARE))
    write_model(models, "nested_square", ensemble(nested, SQUARE))
    write_model(models, "fan_repeat", ensemble(REPEAT, through, join, outputs=both))
    write_model(models, "capped", ensemble(REPEAT, SQUARE, more="max_inflight_requests: 1"))
    write_model(models, "failing_square", ensemble(REPEAT, ("failing", {"IN": "repeated"}, {"OUT": "OUT"})))
    apart = (*SQUARE[:2], {"OUT": "OTHER"})
    write_model(models, "apart", ensemble((*REPEAT[:2], {"OUT": "OUT"}), ("square_int32", {"IN": "OUT"}, apart[2]), outputs=both))
    filled = tensors("output", ("OUT", "TYPE_INT32", "262144"))
    write_model(models, "heavy", ensemble(REPEAT, ("fill", {"IN": "repeated"}, {"OUT": "OUT"}), outputs=filled))


@pytest.fixture(scope="module")
def ensemble_server(binary, tmp_path_factory):
    models = tmp_path_factory.mktemp("ensembles")
    write_models(models)
    with Server(binary, tmp_path_factory.mktemp("ensemble_server") / "log", [models]) as running:
        yield running
        running.terminate()
        assert running.wait() == 0, running.log_text()[-4000:]


@pytest.fixture
def own_server(start_server, tmp_path):
    def start(*flags: str):
        models = tmp_path / "models"
        write_models(models)
        return start_server(models, *flags)

    return start


@pytest.fixture
def stream(ensemble_server):
    with Stream(ensemble_server) as opened:
        yield opened


def numbers(results) -> list[int]:
    return [result.as_numpy("OUT").tolist()[0] for result in results]


@pytest.mark.parametrize("count", [0, 1, 200])
def test_every_response_flows_on_in_its_order(stream, count):
    """The member that follows has four instances."""
    elements = list(range(500, 500 + count))
    results = stream.ask("simple_repeat", repeat_inputs(elements), request_id="r")
    assert numbers(results) == elements
    assert {result.get_response().id for result in results} <= {"r"}


@pytest.mark.parametrize("model", ["repeat_square", "nested_square", "capped"])
def test_responses_multiply(stream, model):
    found = numbers(stream.ask(model, repeat_inputs([3, 0, 1, 2, 5])))
    assert sorted(found) == [1, 2, 2, 3, 3, 3, 5, 5, 5, 5, 5]
    assert stream.ask(model, repeat_inputs([0, 0])) == []


def test_each_response_keeps_its_own_tensors(stream):
    results = stream.ask("fan_repeat", repeat_inputs(list(range(50))))
    assert numbers(results) == list(range(50))
    assert [result.as_numpy("OTHER").tolist()[0] for result in results] == list(range(50))


@pytest.mark.parametrize("model", ["simple_repeat", "repeat_square", "capped"])
def test_requests_do_not_meet(stream, model):
    for number in range(8):
        inputs = repeat_inputs([number] * 3, [1] * 3)
        stream.send(model, inputs, request_id=str(number), enable_empty_final_response=True)
    found, ends = {number: [] for number in range(8)}, 0
    while ends < 8:
        result = stream.next()
        ends += is_final(result)
        if result.get_response().outputs:
            found[int(result.get_response().id)] += numbers([result])
    times = 3 if model == "simple_repeat" else None
    assert found == {number: [number] * (times or 3 * number) for number in range(8)}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_ensemble_is_decoupled_when_a_member_is(ensemble_server, protocol):
    client = Client(protocol, ensemble_server)
    assert client.config("nested_square")["model_transaction_policy"]["decoupled"] is True
    client.close()


def test_unary_inference_is_refused(ensemble_server):
    client = Client("grpc", ensemble_server)
    with pytest.raises(InferenceServerException, match="doesn't support models with decoupled transaction policy"):
        client.infer("simple_repeat", *repeat_inputs([1]))
    client.close()


def test_a_failure_names_the_step_and_ends_the_request(stream):
    """Of two squares the first response is the number, the last one a failure."""
    stream.send("failing_square", repeat_inputs([2]), enable_empty_final_response=True)
    assert numbers([stream.next()]) == [2]
    with pytest.raises(InferenceServerException) as failure:
        stream.next()
    assert failure.value.message() == "in ensemble 'failing_square', step 1 (model 'failing'): simulated failure"
    assert numbers(stream.ask("simple_repeat", repeat_inputs([4]))) == [4]


def test_outputs_of_different_models_are_asked_for_one_by_one(stream):
    from tritonclient.grpc import InferRequestedOutput

    with pytest.raises(InferenceServerException) as refusal:
        stream.ask("apart", repeat_inputs([2]))
    expected = "in ensemble 'apart', outputs 'OUT' and 'OTHER' originate from different decoupled models"
    assert refusal.value.message().startswith(expected)
    assert numbers(stream.ask("apart", repeat_inputs([2]), outputs=[InferRequestedOutput("OUT")])) == [2]
    assert len(stream.ask("apart", repeat_inputs([2]), outputs=[InferRequestedOutput("OTHER")])) == 2


def test_inputs_of_different_models_are_refused_at_load(binary, tmp_path):
    models = tmp_path / "models"
    write_models(models)
    join = ("pair", {"A": "repeated", "B": "squared"}, {"A_OUT": "OUT"})
    write_model(models, "joined", ensemble(REPEAT, (*SQUARE[:2], {"OUT": "squared"}), join))
    ended = run_to_end(binary, "check", str(models))
    text = "in ensemble joined, step of model 'pair' receives inputs originated from different decoupled models"
    assert ended.returncode == 1 and text in ended.stdout, ended.stdout + ended.stderr


def test_events_flow_through_an_ensemble(ensemble_server):
    body = {"IN": [1, 2], "DELAY": [0, 0], "WAIT": 0}
    answer = ensemble_server.request("POST", "/v2/models/simple_repeat/generate_stream", json.dumps(body).encode())
    events = [json.loads(line.removeprefix("data: ")) for line in answer.body.decode().split("\n\n") if line]
    assert [event["OUT"] for event in events] == [1, 2], answer


def test_members_and_the_ensemble_count(own_server):
    server = own_server()
    with Stream(server) as stream:
        stream.ask("repeat_square", repeat_inputs([2, 1]))
    counts = {name: statistics(server, name)["inference_count"] for name in ("repeat_int32", "square_int32", "repeat_square")}
    assert counts == {"repeat_int32": 1, "square_int32": 2, "repeat_square": 1}
    rows = response_counts(server, "repeat_square")
    assert [rows[index].get("success", 0) for index in "0123"] == [1, 1, 1, 0] and rows["3"]["empty_response"] == 1


def test_steps_are_children_of_the_trace(own_server, tmp_path):
    file = tmp_path / "trace.json"
    server = own_server("--trace-config=level=TIMESTAMPS", "--trace-config=rate=1", f"--trace-config=triton,file={file}")
    with Stream(server) as stream:
        stream.ask("simple_repeat", repeat_inputs([1, 2, 3]))
    server.terminate()
    assert server.wait() == 0, server.log_text()
    traces = read_traces(file)
    (root,) = [trace for trace in traces if trace.model == "simple_repeat"]
    children = sorted(trace.model for trace in traces if trace.parent_id == root.id)
    assert children == ["identity_int32"] * 3 + ["repeat_int32"]


def test_a_client_that_leaves_stops_every_step(own_server):
    server = own_server()
    with Stream(server) as stream:
        stream.send("repeat_square", repeat_inputs([1, 2], [0, NEVER_MILLISECONDS]))
        assert numbers([stream.next()]) == [1]
        stream.cancel()
    wait_until(lambda: response_counts(server, "repeat_int32").get("1", {}).get("cancel") == 1)
    wait_until(lambda: statistics(server, "repeat_square")["inference_stats"]["fail"]["count"] == 1)
    assert 'nv_inference_request_failure{model="repeat_square",reason="CANCELED",version="1"} 1' in server.metrics()


def test_a_slow_client_holds_the_models_back(own_server):
    """300 responses of a mebibyte; at most as many are under way as the limits say, and the memory stays flat."""
    inflight, buffered, count = 4, 17, 300
    server = own_server(f"--limit=ensemble-inflight={inflight}")
    before = resident_kib(server)
    channel = grpc.insecure_channel(server.grpc_url, [("grpc.max_receive_message_length", -1), ("grpc.http2.bdp_probe", 0)])
    call = channel.stream_stream(
        "/inference.GRPCInferenceService/ModelStreamInfer",
        request_serializer=service_pb2.ModelInferRequest.SerializeToString,
        response_deserializer=service_pb2.ModelStreamInferResponse.FromString,
    )
    request = service_pb2.ModelInferRequest(model_name="heavy")
    for given in repeat_inputs(list(range(count))):
        request.inputs.append(given._get_tensor())
        request.raw_input_contents.append(given._get_content())
    found, most = [], 0.0
    for response in call(iter([request]), timeout=120):
        assert not response.error_message
        found.append(int.from_bytes(response.infer_response.raw_output_contents[0][:4], "little"))
        if len(found) <= 20:
            made = sum(row.get("success", 0) for row in response_counts(server, "repeat_int32").values())
            # Two channels of responses, the journey between them, and what gRPC has taken but not delivered: the
            # windows of this client, which without the probe do not grow, hold one such response per mebibyte.
            assert made <= len(found) + 2 * buffered + inflight + 32, f"{made} made, {len(found)} read"
        most = max(most, resident_kib(server) - before)
    channel.close()
    assert found == list(range(count))
    assert most < 120 * 1024, f"{most / 1024:.0f} MiB more"


def test_perf_analyzer_measures_a_decoupled_ensemble(perf_analyzer, own_server, tmp_path):  # noqa: F811
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"data": [{"IN": [1, 2, 3], "DELAY": [0, 0, 0], "WAIT": [0]}]}))
    options = [f"--input-data={data}", "--shape=IN:3", "--shape=DELAY:3", "--streaming", "--concurrency-range=2"]
    check(measure(perf_analyzer, own_server(), "simple_repeat", "grpc", *options))
