"""Plugins that await (`tests/guests/awaiter`), as clients meet them: requests of a batch, streams, and clients who leave."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc
from clients import Client
from repository import tensors, write_model
from server import ROOT, Server
from streams import DECOUPLED, Stream
from tritonclient.utils import InferenceServerException

XX = tensors("input", ("X", "TYPE_FP32", "-1")) + tensors("output", ("X", "TYPE_FP32", "-1"))
SLOW_MILLISECONDS = 20000
SLOW = f'parameters {{ key: "execute_delay_ms" value: {{ string_value: "{SLOW_MILLISECONDS}" }} }}\n'
# Waits for a second request as long as any test may take.
PAIR = "dynamic_batching { preferred_batch_size: [ 2 ] max_queue_delay_microseconds: 8000000 }\n"


def write_awaiter(models, name: str, more: str = ""):
    write_model(models, name, 'backend: "wasm"\nmax_batch_size: 8\n' + XX + more)
    shutil.copy(ROOT / "target/guests/awaiter.wasm", models / name / "1/model.wasm")
    (models / name / "plugin.toml").write_text('[grants]\nmodels = ["pair", "slow"]\n')


@pytest.fixture(scope="module")
def awaiting(binary, tmp_path_factory):
    models = tmp_path_factory.mktemp("awaiting")
    for name, more in (("pair", PAIR), ("slow", SLOW)):
        write_model(models, name, 'backend: "identity"\nmax_batch_size: 8\n' + XX + more)
    write_awaiter(models, "batched", PAIR)
    write_awaiter(models, "awaiter")
    write_awaiter(models, "streaming", DECOUPLED)
    with Server(binary, tmp_path_factory.mktemp("awaiting_server") / "log", [models]) as running:
        yield running


@pytest.fixture
def client(awaiting):
    connected = Client("grpc", awaiting)
    yield connected
    connected.close()


def ask(client: Client, model: str, row: list[float], timeout: float | None = None, **parameters) -> list[float]:
    given = client.input("X", np.array([row], np.float32), "FP32")
    return client.infer(model, given, parameters=parameters or None, client_timeout=timeout).as_numpy("X")[0].tolist()


def test_requests_of_a_batch_await_at_the_same_time(client):
    """Each asks the model that waits for two, which gets both in one batch."""
    with ThreadPoolExecutor() as pool:
        answers = pool.map(lambda number: ask(client, "batched", [number], do="sum", models="pair"), (1.0, 2.0))
        assert list(answers) == [[1.0], [2.0]]
    for model in ("batched", "pair"):
        counted = client.statistics(model)
        assert (int(counted["inference_count"]), int(counted["execution_count"])) == (2, 1), model


def test_responses_are_delivered_one_by_one(awaiting):
    numbers = [float(number) for number in range(50)]
    given = tritonclient.grpc.InferInput("X", [1, len(numbers)], "FP32")
    given.set_data_from_numpy(np.array([numbers], np.float32))
    with Stream(awaiting) as stream:
        answers = stream.ask("streaming", [given], parameters={"do": "deliver"})
    assert [answer.as_numpy("X").tolist() for answer in answers] == [[[number]] for number in numbers]


def test_an_error_and_a_panic_are_answers_and_the_next_request_is_served(client):
    with pytest.raises(InferenceServerException, match="X is not to my taste") as refused:
        ask(client, "awaiter", [1.0], do="refuse")
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
    with pytest.raises(InferenceServerException, match="out of my depth"):
        ask(client, "awaiter", [1.0], do="panic")
    assert ask(client, "awaiter", [3.0]) == [3.0]


def test_a_client_who_leaves_ends_what_is_awaited_for_it(client):
    """The one instance is free again long before the slow model would have answered."""
    with pytest.raises(InferenceServerException, match="Deadline Exceeded"):
        ask(client, "awaiter", [1.0], timeout=0.5, do="sum", models="slow")
    assert ask(client, "awaiter", [3.0], timeout=SLOW_MILLISECONDS / 2000) == [3.0]
