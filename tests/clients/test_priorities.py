"""Priority levels and the order of answers, as clients meet them."""

import json
import queue
import re
import time

import numpy as np
import pytest
import tritonclient.grpc
from repository import identity, write_model
from tritonclient.utils import InferenceServerException

WAIT_SECONDS_MAX = 30
EXECUTION_MILLISECONDS = 400

LEVELS = """
max_batch_size: 0
dynamic_batching {
  priority_levels: 3
  default_priority_level: 2
  priority_queue_policy { key: 3 value { max_queue_size: 1 } }
}
"""
ORDERED = """
max_batch_size: 0
dynamic_batching { preserve_ordering: true }
instance_group { count: 4 }
"""


def with_delay(milliseconds: int) -> str:
    return f'parameters {{ key: "execute_delay_ms" value: {{ string_value: "{milliseconds}" }} }}\n'


@pytest.fixture
def client(start_server, tmp_path):
    models = tmp_path / "models"
    write_model(models, "levels", identity(more=LEVELS + with_delay(EXECUTION_MILLISECONDS)))
    write_model(models, "ordered", identity(more=ORDERED))
    server = start_server(models)
    connected = tritonclient.grpc.InferenceServerClient(server.grpc_url)
    connected.server = server
    yield connected
    connected.close()


def tensor(value: float):
    given = tritonclient.grpc.InferInput("INPUT0", [1], "FP32")
    given.set_data_from_numpy(np.array([value], np.float32))
    return given


def wait_for_pending(server, model: str, count: int):
    """Until that many requests wait for the model and none is on its way to it."""
    end = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < end:
        found = re.search(rf'nv_inference_pending_request_count{{model="{model}"[^}}]*}} (\d+)', server.metrics())
        if found and int(found.group(1)) == count:
            return
    raise AssertionError(f"never {count} requests waiting for {model}")


def wait_for_execution(server, model: str):
    """Until the model has begun to execute its first request: requests that were sent one after another may overtake."""
    end = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < end:
        if json.loads(server.get(f"/v2/debug/models/{model}/decisions").body)["models"][0]["batches"]:
            return
    raise AssertionError(f"{model} executes nothing")


def test_an_urgent_request_overtakes_and_a_full_level_refuses(client):
    answers = queue.SimpleQueue()

    def send(name: str, priority: int):
        client.async_infer(
            "levels",
            [tensor(0)],
            callback=lambda result, error: answers.put((name, error)),
            request_id=name,
            priority=priority,
        )

    send("running", 0)
    wait_for_execution(client.server, "levels")
    for position, (name, priority) in enumerate([("low", 3), ("default", 0), ("high", 1)]):
        send(name, priority)
        wait_for_pending(client.server, "levels", position + 1)
    with pytest.raises(InferenceServerException, match="Exceeds maximum queue size"):
        client.infer("levels", [tensor(0)], priority=3)
    order = [answers.get(timeout=WAIT_SECONDS_MAX) for _ in range(4)]
    assert order == [("running", None), ("high", None), ("default", None), ("low", None)]


def test_answers_of_four_instances_are_all_given_when_order_is_preserved(client):
    answers = queue.SimpleQueue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for value in range(200):
        client.async_stream_infer("ordered", [tensor(value)], request_id=str(value))
    for value in range(200):
        result, error = answers.get(timeout=WAIT_SECONDS_MAX)
        assert error is None
        assert result.get_response().id == str(value)
        assert result.as_numpy("OUTPUT0")[0] == value
    client.stop_stream()
