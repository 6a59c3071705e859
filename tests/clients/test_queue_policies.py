"""How long requests may wait, and how many: policies of the queue as clients meet them while the only instance is busy."""

import json
import queue
import time

import numpy as np
import pytest
from clients import Client
from repository import identity, write_model
from server import Server

WAIT_SECONDS_MAX = 30
POLL_SECONDS = 0.01
EXECUTION_MILLISECONDS = 1_500
# A small part of an execution, so that a timer that waits for the instance is told from one that does not.
TIMEOUT_US = 50_000

POLICY = """
max_batch_size: 0
parameters {{ key: "execute_delay_ms" value: {{ string_value: "{delay_ms}" }} }}
dynamic_batching {{ {policies} }}
"""
POLICIES = {
    "reject": f"default_queue_policy {{ timeout_action: REJECT default_timeout_microseconds: {TIMEOUT_US} }}",
    "delay": "default_queue_policy { timeout_action: DELAY allow_timeout_override: true }",
    "asked": "default_queue_policy { allow_timeout_override: true max_queue_size: 1 }",
    "levels": "priority_levels: 2 default_priority_level: 2 priority_queue_policy { key: 1 value { "
    f"timeout_action: REJECT default_timeout_microseconds: {TIMEOUT_US} }} }}",
}


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    for name, policies in POLICIES.items():
        more = POLICY.format(delay_ms=EXECUTION_MILLISECONDS, policies=policies)
        write_model(models, name, identity(more=more))
    with Server(binary, tmp_path_factory.mktemp("server") / "log", [models]) as running:
        yield running


class Asker:
    """Sends requests to one model and notes in which order they are answered."""

    def __init__(self, server, model: str):
        self.server, self.model, self.client = server, model, Client("grpc", server)
        self.answers = queue.SimpleQueue()

    def send(self, name: str, **options):
        tensor = self.client.input("INPUT0", np.ones(1, np.float32), "FP32")
        answered = lambda result, error: self.answers.put((name, error and error.message()))  # noqa: E731
        self.client.raw.async_infer(self.model, [tensor], callback=answered, **options)

    def run(self, name: str):
        """Sends a request and waits until the instance is busy with it."""
        before = self.decisions()["batches"]
        self.send(name)
        end = time.monotonic() + WAIT_SECONDS_MAX
        while self.decisions()["batches"] == before:
            assert time.monotonic() < end
            time.sleep(POLL_SECONDS)

    def decisions(self) -> dict:
        answer = self.server.get(f"/v2/debug/models/{self.model}/decisions")
        return json.loads(answer.body)["models"][0]

    def next(self) -> tuple[str, str | None]:
        return self.answers.get(timeout=WAIT_SECONDS_MAX)


EXPIRED = "[request id: <id_unknown>] Request timeout expired"
FULL = "[request id: <id_unknown>] Exceeds maximum queue size"


def test_a_request_is_refused_when_its_time_is_over_though_the_instance_is_busy(server):
    asker = Asker(server, "reject")
    asker.run("running")
    asker.send("late")
    assert [asker.next(), asker.next()] == [("late", EXPIRED), ("running", None)]


def test_a_request_may_ask_for_less_time_and_the_queue_has_a_limit(server):
    asker = Asker(server, "asked")
    asker.run("running")
    asker.send("late", timeout=TIMEOUT_US)
    assert asker.next() == ("late", EXPIRED)
    asker.send("waiting")
    wait_for_pending(server, "asked")
    asker.send("one too many")
    assert [asker.next() for _ in range(3)] == [("one too many", FULL), ("running", None), ("waiting", None)]


def test_a_level_of_priority_has_a_timeout_of_its_own(server):
    asker = Asker(server, "levels")
    asker.run("running")
    asker.send("patient", priority=2)
    asker.send("urgent", priority=1)
    assert asker.next() == ("urgent", EXPIRED)
    assert [asker.next(), asker.next()] == [("running", None), ("patient", None)]


def test_a_delayed_request_runs_after_those_that_are_in_time(server):
    asker = Asker(server, "delay")
    asker.run("running")
    asker.send("late", timeout=TIMEOUT_US)
    wait_for_pending(server, "delay")
    asker.send("in time")
    assert [asker.next() for _ in range(3)] == [("running", None), ("in time", None), ("late", None)]


def wait_for_pending(server, model: str):
    end = time.monotonic() + WAIT_SECONDS_MAX
    while f'nv_inference_pending_request_count{{model="{model}",version="1"}} 1' not in server.metrics():
        assert time.monotonic() < end, f"nothing waits for {model}"
        time.sleep(POLL_SECONDS)
