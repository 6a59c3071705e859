"""examples/mixed_ensemble: one request through a plugin in Python, a forest, an ONNX model, a TorchScript model and a plugin in Rust, as
scikit-learn's own stack answers it."""

import json
import threading

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from server import ROOT, Server
from test_tabular import ask, records
from tritonclient.utils import InferenceServerException

EXAMPLES = ROOT / "examples"
HELD_OUT = json.loads((EXAMPLES / "mixed_ensemble/heldout.json").read_text())
PATIENTS = json.loads((EXAMPLES / "tabular/heldout.json").read_text())
MEMBERS = ("features", "forest", "stack", "doubt", "labels")


@pytest.fixture(scope="module")
def mixed(binary, tmp_path_factory):
    repositories = [EXAMPLES / "tabular/model_repository", EXAMPLES / "mixed_ensemble/model_repository"]
    cache = f"--plugin-cache-directory={ROOT}/target/plugin-cache"
    with Server(binary, tmp_path_factory.mktemp("mixed") / "log", repositories, cache) as running:
        yield running


@pytest.fixture(params=PROTOCOLS)
def client(request, mixed):
    connected = Client(request.param, mixed)
    yield connected
    connected.close()


def check(result, rows=slice(None)):
    wanted, kinds = np.array(HELD_OUT["probabilities"])[rows], np.array(["slow", "fast"])
    order = np.argsort(-wanted, axis=1, kind="stable")
    assert np.char.decode(result.as_numpy("label").astype(bytes)).tolist() == kinds[order].tolist()
    np.testing.assert_allclose(result.as_numpy("probability"), np.take_along_axis(wanted, order, 1), atol=1e-5)
    np.testing.assert_allclose(result.as_numpy("forest"), np.array(PATIENTS["probabilities"])[rows], atol=1e-6)
    entropy = -(wanted * np.log2(wanted)).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(result.as_numpy("doubt"), entropy, atol=1e-4)


def test_answers_are_those_of_scikit_learns_stack(client):
    result = ask(client, "patients_stacked", records())
    check(result)
    labels = np.char.decode(result.as_numpy("label").astype(bytes))[:, 0]
    assert (labels == PATIENTS["kinds"]).mean() == pytest.approx(HELD_OUT["accuracy"])
    apart = np.abs(np.array(HELD_OUT["probabilities"]) - PATIENTS["probabilities"]).max()
    assert apart > 0.05, "what the ONNX model adds shows"


def test_each_step_was_executed_once_per_request(client):
    before = {name: int(client.statistics(name).get("inference_count", 0)) for name in MEMBERS}
    check(ask(client, "patients_stacked", records(slice(7))), slice(7))
    counted = {name: int(client.statistics(name)["inference_count"]) - before[name] for name in MEMBERS}
    assert counted == dict.fromkeys(MEMBERS, 7)


def test_many_clients_at_once_get_their_own_answers(mixed):
    failures = []

    def drive(first: int):
        client = Client(PROTOCOLS[first % 2], mixed)
        try:
            for row in range(first, 80, 8):
                check(ask(client, "patients_stacked", records(slice(row, row + 1))), slice(row, row + 1))
        except BaseException as error:  # noqa: BLE001 (told in the test's own thread)
            failures.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=drive, args=[first]) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


def test_an_error_says_which_step_it_is_of(client):
    with pytest.raises(InferenceServerException) as refused:
        ask(client, "patients_stacked", records(slice(1), born="yesterday"))
    assert "in ensemble 'patients_stacked'" in refused.value.message() and "row 0 of input 'born'" in refused.value.message()
