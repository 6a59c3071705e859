"""A client that goes away takes its request along, wherever that is: in a queue, in a sequence, between two steps of an
ensemble, in a plugin that computes, in a plugin that waits for a model. Three ways to go: a gRPC call that is cancelled, a gRPC
stream that is, and an HTTP connection that is closed."""

import json
import queue
import re
import socket
import time

import numpy as np
import pytest
import tritonclient.http
from clients import Client
from repository import identity, write_ensemble, write_model, write_plugin
from server import Server
from tritonclient.utils import InferenceServerException

WAIT_SECONDS_MAX = 30
POLL_SECONDS = 0.01
# Long enough to do something meanwhile, also on a busy machine.
EXECUTION_MILLISECONDS = 1_500
SLOW = f'max_batch_size: 0\nparameters {{ key: "execute_delay_ms" value: {{ string_value: "{EXECUTION_MILLISECONDS}" }} }}\n'
SEQUENCES = "sequence_batching { direct { } max_sequence_idle_microseconds: 60000000 }\n"


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    write_model(models, "slow", identity(more=SLOW))
    write_model(models, "quick", identity())
    write_model(models, "sequences", identity(more=SLOW.replace("max_batch_size: 0", SEQUENCES + "max_batch_size: 1")))
    write_ensemble(models, "two_steps", ("slow", "quick"))
    # `relay` calls a model named `identity`.
    write_model(models, "identity", identity(more=SLOW))
    for guest in ("hostile", "relay"):
        write_plugin(models, guest, guest)
    with Server(binary, tmp_path_factory.mktemp("server") / "log", [models]) as running:
        yield running


def samples(server, model: str) -> dict[str, int]:
    """The figures of a model that this suite looks at."""
    page = server.metrics()

    def figure(name: str, more: str = "") -> int:
        return int(re.search(rf'^{name}{{model="{model}"{more},version="1"}} (\d+)', page, re.MULTILINE).group(1))

    return {
        "cancelled": figure("nv_inference_request_failure", ',reason="CANCELED"'),
        "succeeded": figure("nv_inference_request_success"),
        "executed": figure("nv_inference_exec_count"),
        "waiting": figure("nv_inference_pending_request_count"),
    }


class Watch:
    """What has changed for a model since this was made."""

    def __init__(self, server, model: str):
        self.server, self.model, self.before = server, model, samples(server, model)
        self.batches_before = self.batches()

    def change(self) -> dict[str, int]:
        return {name: value - self.before[name] for name, value in samples(self.server, self.model).items()}

    def runs(self, request):
        """Until the model has begun to execute a request that was sent just now."""
        end = time.monotonic() + WAIT_SECONDS_MAX
        while self.batches() == self.batches_before:
            assert time.monotonic() < end, f"{self.model} executes nothing"
            time.sleep(POLL_SECONDS)
        return request

    def batches(self) -> int:
        decisions = json.loads(self.server.get(f"/v2/debug/models/{self.model}/decisions").body)
        return decisions["models"][0]["batches"]

    def until(self, **expected: int):
        end = time.monotonic() + WAIT_SECONDS_MAX
        while not expected.items() <= (found := self.change()).items():
            assert time.monotonic() < end, f"{self.model}: expected {expected}, found {found}"
            time.sleep(POLL_SECONDS)
        return found


class Call:
    """A request of one float under way, by gRPC."""

    def __init__(self, server, model: str, **options):
        self.client, self.answers = Client("grpc", server), queue.SimpleQueue()
        tensor = self.client.input("INPUT0", np.ones(1 if "sequence_id" not in options else (1, 1), np.float32), "FP32")
        answered = lambda result, error: self.answers.put(error)  # noqa: E731
        self.call = self.client.raw.async_infer(model, [tensor], callback=answered, **options)

    def go(self):
        self.call.cancel()
        assert "Locally cancelled by application!" in str(self.error())

    def error(self):
        return self.answers.get(timeout=WAIT_SECONDS_MAX)


class Stream:
    """A request on a stream."""

    def __init__(self, server, model: str, **options):
        self.client = Client("grpc", server)
        self.client.raw.start_stream(callback=lambda result, error: None)
        tensor = self.client.input("INPUT0", np.ones(1, np.float32), "FP32")
        self.client.raw.async_stream_infer(model, [tensor], **options)

    def go(self):
        self.client.raw.stop_stream(cancel_requests=True)


class Connection:
    """A request over HTTP/1.1, whose connection is closed before the answer."""

    def __init__(self, server, model: str, parameters: dict | None = None):
        tensor = tritonclient.http.InferInput("INPUT0", [1], "FP32")
        tensor.set_data_from_numpy(np.ones(1, np.float32))
        body, json_bytes = tritonclient.http.InferenceServerClient.generate_request_body([tensor], parameters=parameters)
        head = f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: nereid\r\nContent-Length: {len(body)}\r\n"
        head += f"Inference-Header-Content-Length: {json_bytes}\r\n\r\n"
        self.socket = socket.create_connection(("127.0.0.1", server.http_port))
        self.socket.sendall(head.encode() + body)

    def go(self):
        self.socket.close()


WAYS = [Call, Stream, Connection]


@pytest.fixture(params=WAYS, ids=["call", "stream", "connection"])
def way(request):
    return request.param


def test_a_request_that_waits_is_never_executed(server, way):
    watch = Watch(server, "slow")
    running = watch.runs(Call(server, "slow"))
    leaving = way(server, "slow")
    watch.until(waiting=1)
    leaving.go()
    assert running.error() is None
    found = watch.until(cancelled=1, waiting=0)
    assert (found["executed"], found["succeeded"]) == (1, 1), "the request of a client that had left was executed"


def test_a_plugin_that_computes_is_stopped(server, way):
    watch = Watch(server, "hostile")
    watch.runs(way(server, "hostile", parameters={"mode": "loop"})).go()
    found = watch.until(cancelled=1)
    assert found["succeeded"] == 0
    client = Client("http", server)
    assert client.identity("hostile", np.full(1, 7, np.float32))[0] == 7
    client.close()


def test_a_plugin_that_waits_for_a_model_takes_that_request_along(server, way):
    relay, child = Watch(server, "relay"), Watch(server, "identity")
    running = child.runs(Call(server, "identity"))
    leaving = way(server, "relay")
    child.until(waiting=1)
    leaving.go()
    relay.until(cancelled=1)
    assert running.error() is None
    found = child.until(cancelled=1, waiting=0)
    assert found["executed"] == 1, "the plugin's call was executed for nobody"


def test_an_ensemble_goes_no_further(server, way):
    ensemble, first, second = (Watch(server, model) for model in ("two_steps", "slow", "quick"))
    first.runs(way(server, "two_steps")).go()
    ensemble.until(cancelled=1)
    first.until(executed=1)
    # What was free to run after the first step would be there before an answer of the same model.
    client = Client("http", server)
    client.identity("quick", np.ones(1, np.float32))
    client.close()
    assert second.change()["executed"] == 1, "the second step ran for nobody"
    assert ensemble.change()["succeeded"] == 0


def test_a_cancelled_request_ends_its_sequence(server):
    watch = Watch(server, "sequences")
    first = watch.runs(Call(server, "sequences", sequence_id=5, sequence_start=True))
    second = Call(server, "sequences", sequence_id=5)
    watch.until(waiting=1)
    third = Call(server, "sequences", sequence_id=5, sequence_end=True)
    watch.until(waiting=2)
    second.go()
    assert first.error() is None
    error = third.error()
    assert isinstance(error, InferenceServerException)
    assert (error.status(), error.message()) == ("StatusCode.CANCELLED", "the sequence was cancelled")
    found = watch.until(cancelled=2, waiting=0)
    assert found["executed"] == 1
    again = Call(server, "sequences", sequence_id=5, sequence_start=True, sequence_end=True)
    assert again.error() is None, "the slot of the cancelled sequence is not free"
