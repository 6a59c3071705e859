"""Iterative sequences: one request, executed step by step, of a model that says when it is done.

The model makes one step of the Collatz iteration; its state is kept by the server, and its output MORE says whether the
request is executed again. How many steps a number takes is known, and different for every number.
"""

import shutil
import time

import numpy as np
import pytest
import tritonclient.grpc
from clients import PROTOCOLS, Client
from repository import tensors, write_model
from server import ROOT, Server

WAIT_SECONDS_MAX = 60
FOR_EVER = 0  # half of 0 is 0, and 1 is never reached

STATES = """
  control_input [
    { name: "START" control { kind: CONTROL_SEQUENCE_START bool_false_true: [ false, true ] } },
    { name: "ID" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } }
  ]
  state [
    { input_name: "VALUE_IN" output_name: "VALUE_OUT" data_type: TYPE_INT32 dims: [ 1 ] },
    { input_name: "STEPS_IN" output_name: "STEPS_OUT" data_type: TYPE_INT32 dims: [ 1 ] }
  ]
"""
PARAMETER = 'parameters { key: "iterate_while" value { string_value: "MORE" } }\n'
STRATEGIES = {"direct": "direct { }", "oldest": "oldest { max_candidate_sequences: 32 }"}
OUTPUTS = (("STEPS", "TYPE_INT32", "1"), ("MORE", "TYPE_BOOL", "1"), ("SEQUENCE", "TYPE_UINT64", "1"))


def write_collatz(models, name: str, strategy: str, rows: int = 8, more: str = PARAMETER):
    batching = f"sequence_batching {{ {strategy} iterative_sequence: true {STATES} }}\n"
    config = f"max_batch_size: {rows}\n" + tensors("input", ("N", "TYPE_INT32", "1")) + tensors("output", *OUTPUTS)
    write_model(models, name, config + 'backend: "onnxruntime"\ninstance_group { count: 1 }\n' + more + batching)
    shutil.copy(ROOT / "tests/models/collatz.onnx", models / name / "1" / "model.onnx")


def collatz_steps(number: int) -> int:
    steps = 0
    while steps == 0 or number != 1:
        number = 3 * number + 1 if number % 2 else number // 2
        steps += 1
    return steps


@pytest.fixture(scope="module")
def iterative_server(binary, tmp_path_factory):
    models = tmp_path_factory.mktemp("iterative")
    for name, strategy in STRATEGIES.items():
        write_collatz(models, name, strategy)
    write_collatz(models, "one_seat", STRATEGIES["direct"], rows=1)
    with Server(binary, tmp_path_factory.mktemp("iterative_server") / "log", [models]) as running:
        yield running
        running.terminate()
        assert running.wait() == 0, running.log_text()[-4000:]


@pytest.fixture(params=PROTOCOLS)
def iterative(request, iterative_server):
    connected = Client(request.param, iterative_server)
    connected.server = iterative_server
    yield connected
    connected.close()


def number_input(client: Client, number: int):
    return client.input("N", np.array([[number]], np.int32), "INT32")


def counter(client: Client, model: str, name: str) -> int:
    return int(client.statistics(model).get(name, 0))


@pytest.mark.parametrize("model", STRATEGIES)
def test_one_request_is_executed_until_the_model_is_done(iterative, model):
    before = counter(iterative, model, "execution_count"), counter(iterative, model, "inference_count")
    for number in (1, 2, 27, 97):
        result = iterative.infer(model, number_input(iterative, number))
        assert result.as_numpy("STEPS").tolist() == [[collatz_steps(number)]]
        assert result.as_numpy("MORE").tolist() == [[False]]
    steps = sum(map(collatz_steps, (1, 2, 27, 97)))
    after = counter(iterative, model, "execution_count"), counter(iterative, model, "inference_count")
    assert after == (before[0] + steps, before[1] + steps)


@pytest.mark.parametrize("model", STRATEGIES)
def test_requests_at_different_steps_share_batches(iterative_server, model):
    client = Client("grpc", iterative_server)
    before = counter(client, model, "execution_count")
    numbers = list(range(1, 65))
    answers = []
    # Thousands of steps: enough that they meet, whatever the machine does meanwhile.
    rounds = 10
    for _ in range(rounds * len(numbers)):
        number = numbers[len(answers) % len(numbers)]
        answer = []
        given = [number_input(client, number)]
        client.raw.async_infer(model, given, lambda result, error, answer=answer: answer.append((result, error)))
        answers.append((number, answer))
    end = time.monotonic() + WAIT_SECONDS_MAX
    while not all(answer for _, answer in answers):
        assert time.monotonic() < end, "not all requests were answered"
        time.sleep(0.01)
    for number, ((result, error),) in answers:
        assert error is None, error
        assert result.as_numpy("STEPS").tolist() == [[collatz_steps(number)]]
    steps = rounds * sum(map(collatz_steps, numbers))
    executions = counter(client, model, "execution_count") - before
    assert executions < steps / 2, f"{steps} steps in {executions} executions"
    sizes = [int(batch["batch_size"]) for batch in client.statistics(model)["batch_stats"]]
    assert max(sizes) > 4
    client.close()


def test_the_client_sees_what_it_asks_for(iterative):
    asked = [iterative.output("STEPS")]
    result = iterative.infer("direct", number_input(iterative, 6), outputs=asked)
    assert result.as_numpy("STEPS").tolist() == [[8]]
    assert result.as_numpy("MORE") is None and result.as_numpy("SEQUENCE") is None


def test_ids_are_the_clients_or_made_by_the_server(iterative):
    given = number_input(iterative, 3)
    own = iterative.infer("direct", given, sequence_id=42, sequence_start=True, sequence_end=True)
    assert own.as_numpy("SEQUENCE").tolist() == [[42]]
    made = [iterative.infer("direct", given).as_numpy("SEQUENCE")[0][0] for _ in range(2)]
    assert made[0] != made[1] and min(made) >= 1 << 62
    with pytest.raises(tritonclient.utils.InferenceServerException, match="must specify the START flag"):
        iterative.infer("direct", given, sequence_id=42)


def test_a_request_that_is_cancelled_between_two_steps_makes_room(iterative_server):
    client = Client("grpc", iterative_server)
    metric = 'nv_inference_request_failure{model="one_seat",reason="CANCELED",version="1"} 1'
    call = client.raw.async_infer("one_seat", [number_input(client, FOR_EVER)], lambda result, error: None)
    end = time.monotonic() + WAIT_SECONDS_MAX
    while counter(client, "one_seat", "inference_count") < 10:
        assert time.monotonic() < end, "the request that never ends did not begin"
        time.sleep(0.01)
    call.cancel()
    # There is one seat: nobody else could be answered while the first request has it.
    result = client.infer("one_seat", number_input(client, 27))
    assert result.as_numpy("STEPS").tolist() == [[111]]
    assert metric in iterative_server.metrics()
    before = counter(client, "one_seat", "execution_count")
    assert client.infer("one_seat", number_input(client, 2)).as_numpy("STEPS").tolist() == [[1]]
    assert counter(client, "one_seat", "execution_count") == before + 1
    client.close()


def test_a_model_that_does_not_say_when_it_is_done_is_refused(start_server, tmp_path):
    models = tmp_path / "models"
    write_collatz(models, "silent", STRATEGIES["direct"], more="")
    server = start_server(models, "--exit-on-error=false", "--strict-readiness=false")
    client = Client("http", server)
    (entry,) = client.raw.get_model_repository_index()
    assert "nothing says when a request is run again: name an output of type BOOL" in entry["reason"]
    client.close()
