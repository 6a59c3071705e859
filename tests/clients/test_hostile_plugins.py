"""Plugins that trap, spin, hoard, flood, go round in circles and never answer: a tenth of the traffic, and their neighbour fails nobody.

Each misdeed costs the request that asked for it: the hostile plugin itself serves the next one. Breakers are off, because a plugin
that is let rest is no longer hostile."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import tensors, write_model, write_plugin
from server import ROOT, Server
from tritonclient.utils import InferenceServerException

ONE = np.ones(1, np.float32)
SHARE = 10
REQUESTS = 300
CLIENTS = 4
RESTLESS = 'parameters { key: "breaker_failures" value: { string_value: "0" } }\n'
INSTANCES = "instance_group [ { count: 4 } ]\n"
LIMITS = "[limits]\ncpu_ms = 50\ndeadline_ms = 1500\nmemory_mib = 32\n"
BATCHER = 'backend: "wasm"\nmax_batch_size: 8\n' + tensors("input", ("X", "TYPE_INT32", "1")) + tensors("output", ("Y", "TYPE_INT32", "1"))

# What a plugin that answers one request at a time is asked for, and what its client reads. Lines of a log are dropped beyond the budget, and
# the flood of them may be over before its time is: that one may be answered.
MISDEEDS = {
    "panic": "trapped: it reached code marked unreachable",
    "loop": "was ended after 50ms of computing (cpu_ms); in",
    "allocate": "exceed the limit of 32 MiB (memory_mib)",
    "recurse": "in hostile::recurse < hostile::recurse",
    "wrong-name": "returned an output 'SURPRISE' that the model does not have",
    "wrong-type": "returned output 'OUTPUT0' of type INT32, expected FP32",
    "wrong-shape": "returned output 'OUTPUT0' of shape",
    "nothing": "did not return output 'OUTPUT0'",
    "huge-output": "exceed the limit of 536870912 bytes per call (host_tensor_mib)",
    "unknown-model": "Request for unknown model: 'no_such_model' is not found",
    "itself": "model 'hostile' cannot be called, because it waits for this call itself: hostile -> hostile",
    "flood-state": "the limit is 1048576 (state_kib)",
    "flood-metrics": "(metric_series)",
    "flood-log": "after 50ms of computing (cpu_ms)",
}

# What one that executes batches is asked for. None for what is answered.
LATE_MISDEEDS = {
    "keep": "kept the request's sender and did not answer within 1.5s (deadline_ms)",
    "stream and answer": None,
    "take the sender twice": "sender",
    "drop the sender": "dropped the request's sender before its last response",
    "defer without a sender": "deferred a request whose sender it had not taken",
    "lose an outcome": "gave 0 outcomes for a batch of 1 requests",
    "trap with the sender": "trapped",
    "finish with nothing": "finished the request without a response",
}


@pytest.fixture(scope="module")
def crowd(binary, tmp_path_factory):
    models = tmp_path_factory.mktemp("hostile_plugins")
    for name, guest in {"neighbour": "identity", "hostile": "hostile", "accomplice": "hostile"}.items():
        write_plugin(models, name, guest)
        config = models / name / "config.pbtxt"
        config.write_text(config.read_text() + RESTLESS + INSTANCES)
        if guest == "hostile":
            (models / name / "plugin.toml").write_text('[grants]\nmodels = ["*"]\n' + LIMITS)
    write_model(models, "late", BATCHER + RESTLESS)
    shutil.copy(ROOT / "target/guests/batcher.wasm", models / "late/1/model.wasm")
    (models / "late/plugin.toml").write_text(LIMITS)
    with Server(binary, tmp_path_factory.mktemp("hostile_plugins_server") / "log", [models], "--log-warning=false") as running:
        yield running


def misbehave(client: Client, mode: str, **more: str):
    return client.infer("hostile", client.input("INPUT0", ONE, "FP32"), parameters={"mode": mode} | more)


def be_late(client: Client, mode: str):
    return client.infer("late", client.input("X", np.array([[5]], np.int32), "INT32"), parameters={"do": mode} if mode else None)


def told(call, expected: str | None):
    """The call fails with these words, or is answered."""
    try:
        call()
    except InferenceServerException as error:
        assert expected is not None and expected in error.message(), error
    else:
        assert expected is None or expected == MISDEEDS["flood-log"], "it was answered"


def visit(server, protocol: str, misdeed, words: str | None) -> int:
    """One client: the neighbour is asked, and after every ninth time the hostile one. Returns how often the neighbour answered."""
    client = Client(protocol, server)
    answered = 0
    try:
        for number in range(REQUESTS // CLIENTS):
            if number % SHARE == SHARE - 1:
                told(lambda: misdeed(client), words)
            else:
                expected = np.full(1, number, np.float32)
                assert client.identity("neighbour", expected)[0] == number
                answered += 1
    finally:
        client.close()
    return answered


def mingle(server, misdeed, words: str | None):
    with ThreadPoolExecutor(CLIENTS) as clients:
        visits = [clients.submit(visit, server, PROTOCOLS[index % 2], misdeed, words) for index in range(CLIENTS)]
        answered = sum(visit.result() for visit in visits)
    assert answered >= REQUESTS * (SHARE - 1) // SHARE - CLIENTS * SHARE


@pytest.mark.parametrize("mode", MISDEEDS)
def test_neighbours_of_a_hostile_plugin_are_served(crowd, mode):
    mingle(crowd, lambda client: misbehave(client, mode), MISDEEDS[mode])
    client = Client("grpc", crowd)
    assert misbehave(client, "behave").as_numpy("OUTPUT0")[0] == 1
    client.close()


@pytest.mark.parametrize("mode", LATE_MISDEEDS)
def test_neighbours_of_one_that_holds_its_answers_are_served(crowd, mode):
    mingle(crowd, lambda client: be_late(client, mode), LATE_MISDEEDS[mode])
    client = Client("grpc", crowd)
    assert be_late(client, "").as_numpy("Y").flatten().tolist() == [6]
    client.close()


def test_a_circle_of_two_is_ended_where_it_closes(crowd):
    words = "model 'hostile' cannot be called, because it waits for this call itself: hostile -> accomplice -> hostile"
    mingle(crowd, lambda client: misbehave(client, "circle", next="accomplice", after="hostile"), words)


def test_what_they_flood_does_not_grow(crowd):
    """All the series and keys that a plugin may have are had by now; the page has not more of them."""
    page = crowd.metrics()
    series = [line for line in page.splitlines() if line.startswith("hostile_flood_total{")]
    assert 0 < len(series) <= 100, len(series)


def test_senders_that_are_held_are_all_ended(crowd):
    """A hundred requests at a time that the plugin would keep for ever: each is ended at its deadline, and the plugin goes on."""
    client = Client("grpc", crowd)
    ended, lock = [], threading.Lock()

    def note(result, error):
        with lock:
            ended.append(error)

    for _ in range(100):
        client.raw.async_infer("late", [client.input("X", np.array([[5]], np.int32), "INT32")], note, parameters={"do": "keep"})
    deadline = threading.Event()
    for _ in range(600):
        with lock:
            if len(ended) == 100:
                break
        deadline.wait(0.05)
    assert len(ended) == 100 and all("did not answer within 1.5s" in str(error) for error in ended)
    assert be_late(client, "").as_numpy("Y").flatten().tolist() == [6]
    client.close()
