"""Plugins that execute batches, as clients meet them: every way to answer, and what one request's trouble is to the others."""

import shutil
import threading

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import tensors, write_model
from server import ROOT, Server
from streams import DECOUPLED, Stream, tensor, wait_until
from tritonclient.utils import InferenceServerException

CONFIG = 'backend: "wasm"\nmax_batch_size: 8\n' + tensors("input", ("X", "TYPE_INT32", "1")) + tensors("output", ("Y", "TYPE_INT32", "1"))
PATIENT = "dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 2000000 }\n"
STATE = 'state { input_name: "STEP_IN" output_name: "STEP_OUT" data_type: TYPE_INT32 dims: [ 1 ] }'
ITERATIVE = f"sequence_batching {{ iterative_sequence: true oldest {{ max_candidate_sequences: 4 }} {STATE} }}\n"


def write_batcher(models, name: str, more: str = "", limits: str = ""):
    write_model(models, name, CONFIG + more)
    shutil.copy(ROOT / "target/guests/batcher.wasm", models / name / "1" / "model.wasm")
    (models / name / "plugin.toml").write_text(f"[limits]\n{limits}")


@pytest.fixture(scope="module")
def plugins(binary, tmp_path_factory):
    models = tmp_path_factory.mktemp("model_plugins")
    write_batcher(models, "one")
    write_batcher(models, "batching", PATIENT)
    write_batcher(models, "decoupled", DECOUPLED)
    write_batcher(models, "hasty", limits="deadline_ms = 300\n")
    write_batcher(models, "iterative", DECOUPLED + ITERATIVE)
    log = tmp_path_factory.mktemp("model_plugins_server") / "log"
    with Server(binary, log, [models], "--model-control-mode=explicit", "--load-model=*") as running:
        yield running
        running.terminate()
        assert running.wait() == 0, running.log_text()[-4000:]


@pytest.fixture(params=PROTOCOLS)
def client(request, plugins):
    opened = Client(request.param, plugins)
    yield opened
    opened.close()


@pytest.fixture
def stream(plugins):
    with Stream(plugins) as opened:
        yield opened


def ask(client, model: str, value: int, **options) -> list:
    result = client.infer(model, client.input("X", np.array([[value]], np.int32), "INT32"), **options)
    return result.as_numpy("Y").flatten().tolist()


def parameters(**values) -> dict:
    return {"parameters": {name.rstrip("_"): value for name, value in values.items()}}


def streamed(stream, value: int, model: str = "decoupled", **values) -> list:
    answers = stream.ask(model, [tensor("X", [[value]], "INT32")], **parameters(**values))
    return [answer.as_numpy("Y").item() for answer in answers]


def together(*calls):
    """Runs the calls at the same time and gives results and errors in their order."""
    found = [None] * len(calls)

    def run(index, call):
        try:
            found[index] = call()
        except InferenceServerException as error:
            found[index] = error.message()

    threads = [threading.Thread(target=run, args=item) for item in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_a_request_is_answered(client):
    assert ask(client, "one", 5) == [6]
    assert ask(client, "one", 5, **parameters(do="respond")) == [12]


def test_a_batch_is_executed_as_one_and_errors_are_each_requests_own(plugins):
    clients = [Client("http", plugins) for _ in range(4)]
    wishes = ["", "fail", "wrong shape", ""]
    calls = [lambda c=c, w=w, n=n: ask(c, "batching", n, **parameters(do=w)) for n, (c, w) in enumerate(zip(clients, wishes))]
    first, failed, unfit, last = together(*calls)
    assert (first, last) == ([4], [7]), "all four were one batch"
    assert failed == "plugin 'model.wasm' of model 'batching': no [1] today"
    assert "returned output 'Y' of shape [1,2], expected [1,1]" in unfit
    for opened in clients:
        opened.close()


@pytest.mark.parametrize(
    "wish, expected",
    [
        ("fail", "plugin 'model.wasm' of model 'one': no [3] today"),
        ("fail through the sender", "plugin 'model.wasm' of model 'one': nothing here"),
        ("finish with nothing", "finished the request without a response, and the model is not decoupled"),
        ("drop the sender", "dropped the request's sender before its last response"),
        ("defer without a sender", "deferred a request whose sender it had not taken"),
        ("take the sender twice", "the request's sender was taken already"),
        ("lose an outcome", "gave 0 outcomes for a batch of 1 requests: expected one for each"),
        ("trap with the sender", "trapped: it reached code marked unreachable"),
        ("counter downwards", "a counter only grows, and -1 is no number from 0 up; use a gauge"),
        ("clashing metric", "metric 'batcher_requests_total' is a counter already and cannot be opened as a gauge"),
    ],
)
def test_every_mistake_has_its_words_and_the_model_goes_on(client, wish, expected):
    with pytest.raises(InferenceServerException) as failure:
        ask(client, "one", 3, **parameters(do=wish))
    assert expected in failure.value.message()
    assert ask(client, "one", 3) == [4]


def test_a_trap_says_where_and_what_was_logged(client):
    with pytest.raises(InferenceServerException, match="asked to trap") as failure:
        ask(client, "one", 3, **parameters(do="trap with the sender"))
    assert "batcher/src/lib.rs" in failure.value.message()


def test_the_first_response_of_a_model_that_is_not_decoupled_is_the_last(client, plugins):
    assert ask(client, "one", 3, **parameters(do="stream", count=1)) == [3]
    assert ask(client, "one", 3, **parameters(do="stream", count=2)) == [3]
    # The answer is there before the plugin notices that the next one is not wanted.
    wait_until(lambda: "not sent: a model that is not decoupled sends one response" in plugins.log_text())


def test_a_decoupled_model_sends_none_one_or_many(stream):
    assert streamed(stream, 10, do="stream", count=4) == [10, 11, 12, 13]
    assert streamed(stream, 10, do="stream", count=0) == []
    assert streamed(stream, 10, do="stream and answer") == [11, 12]
    assert streamed(stream, 10, do="finish with nothing") == []
    assert streamed(stream, 10) == [11]


def test_a_kept_sender_answers_in_a_later_batch(stream):
    for value in (1, 2):
        stream.send("decoupled", [tensor("X", [[value]], "INT32")], request_id=str(value), **parameters(do="keep"))
    stream.send("decoupled", [tensor("X", [[9]], "INT32")], request_id="9", **parameters(do="flush"))
    found = {answer.get_response().id: answer.as_numpy("Y").item() for answer in (stream.next() for _ in range(3))}
    assert found == {"1": 101, "2": 102, "9": 9}


def test_a_sender_that_is_kept_too_long_ends_at_the_deadline(client):
    with pytest.raises(InferenceServerException, match=r"kept the request's sender and did not answer within 300ms"):
        ask(client, "hasty", 1, **parameters(do="keep"))
    assert ask(client, "hasty", 1, **parameters(do="flush")) == [1]


def test_a_guest_is_finalised_when_its_model_goes(start_server, tmp_path):
    models = tmp_path / "models"
    write_batcher(models, "one")
    server = start_server(models, "--model-control-mode=explicit", "--load-model=one")
    client = Client("http", server)
    assert ask(client, "one", 1) == [2]
    client.raw.unload_model("one")
    wait_until(lambda: "finalised with 0 senders" in server.log_text())
    client.close()


def test_a_client_that_leaves_is_noticed_by_the_sender(plugins):
    with Stream(plugins) as leaving:
        leaving.send("decoupled", [tensor("X", [[0]], "INT32")], **parameters(do="stream until cancelled"))
        assert [leaving.next().as_numpy("Y").item() for _ in range(3)] == [0, 1, 2]
        leaving.cancel()
    # The instance is free again: there is only one.
    with Stream(plugins) as after:
        assert streamed(after, 1) == [2]


def test_the_request_describes_itself(plugins):
    with Stream(plugins) as stream:
        options = {"request_id": "me", "sequence_id": 7, "sequence_start": True, "priority": 3}
        (answer,) = stream.ask("decoupled", [tensor("X", [[1], [2]], "INT32")], **options, **parameters(do="describe"))
    found = {name: value for name, value in answer.get_response().parameters.items()}
    assert found["id"].string_param == "me"
    assert (found["rows"].int64_param, found["priority"].int64_param) == (2, 3)
    assert found["sequence"].string_param == "7 true false"
    assert found["instance"].string_param == "decoupled_0"
    assert found["model"].string_param == "decoupled:1 batches of 8, decoupled true"


def test_state_outlives_guests_and_reloads(client, plugins):
    key = f"count {client.protocol}"
    counted = parameters(do="count", key=key)
    assert ask(client, "one", 0, **counted) == [1]
    with pytest.raises(InferenceServerException):
        ask(client, "one", 0, **parameters(do="trap with the sender"))
    assert ask(client, "one", 0, **counted) == [2]
    client.raw.load_model("one")
    assert ask(client, "one", 0, **counted) == [3]
    assert ask(client, "batching", 0, **counted) == [1], "another model's state is its own"


def test_an_iterative_sequence_is_executed_until_it_is_done(stream):
    options = {"sequence_id": 5, "sequence_start": True, "sequence_end": True}
    answers = stream.ask("iterative", [tensor("X", [[10]], "INT32")], **options, **parameters(do="iterate", count=4))
    assert [answer.as_numpy("Y").item() for answer in answers] == [10, 11, 12, 13]


def test_own_metrics_are_on_the_page(client, plugins):
    ask(client, "one", 1)
    page = plugins.metrics()
    assert 'batcher_requests_total{model="one",instance="one_0"}' in page
    assert "# TYPE batcher_rows histogram" in page and 'batcher_rows_bucket{model="one",le="1"}' in page


@pytest.mark.parametrize(
    "name, more, guest, expected",
    [
        ("refusing", 'parameters { key: "refuse" value { string_value: "yes" } }', "batcher", "cannot be initialised: the setting 'refuse' is there"),
        ("many", DECOUPLED, "identity", "decoupled: true } needs a plugin built for the world model-plugin"),
        ("again", DECOUPLED.replace("true", "false") + ITERATIVE, "identity", "iterative_sequence: true } needs a plugin built for"),
    ],
)  # fmt: skip
def test_what_a_plugin_cannot_do_fails_the_load(start_server, tmp_path, name, more, guest, expected):
    models = tmp_path / "models"
    write_batcher(models, name, more)
    shutil.copy(ROOT / f"target/guests/{guest}.wasm", models / name / "1" / "model.wasm")
    server = start_server(models, "--model-control-mode=explicit")
    client = Client("http", server)
    with pytest.raises(InferenceServerException) as failure:
        client.raw.load_model(name)
    assert expected in failure.value.message()
    client.close()
