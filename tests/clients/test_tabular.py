"""examples/tabular: raw records through a plugin in Python, a forest and a plugin in Rust, as scikit-learn's own pipeline
answers them."""

import json

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from server import ROOT, Server
from tritonclient.utils import InferenceServerException

FOLDER = ROOT / "examples/tabular"
HELD_OUT = json.loads((FOLDER / "heldout.json").read_text())
TEXTS = ("sex", "born", "examined")


@pytest.fixture(scope="module")
def tabular(binary, tmp_path_factory):
    log = tmp_path_factory.mktemp("tabular") / "log"
    # Python components take long to compile; those of other tests lie there too.
    cache = f"--plugin-cache-directory={ROOT}/target/plugin-cache"
    with Server(binary, log, [FOLDER / "model_repository"], cache) as running:
        yield running


@pytest.fixture(params=PROTOCOLS)
def client(request, tabular):
    connected = Client(request.param, tabular)
    yield connected
    connected.close()


def records(rows=slice(None), **changes) -> dict:
    """Held-out records; `changes` replaces the value of a text in every one."""
    found = {name: np.array(HELD_OUT[name][rows], object)[:, None] for name in TEXTS}
    found["measurements"] = np.array(HELD_OUT["measurements"][rows], float)
    return found | {name: np.full_like(found[name], value) for name, value in changes.items()}


def ask(client: Client, model: str, given: dict):
    inputs = [client.input(name, np.char.encode(given[name].astype(str)).astype(object), "BYTES") for name in TEXTS]
    return client.infer(model, *inputs, client.input("measurements", given["measurements"], "FP64"))


def features(client: Client, given: dict) -> np.ndarray:
    return ask(client, "features", given).as_numpy("features")


def test_features_are_those_of_scikit_learn(client):
    assert any(not value for value in HELD_OUT["born"]) and any(None in row for row in HELD_OUT["measurements"])
    np.testing.assert_array_equal(features(client, records()), np.array(HELD_OUT["features"], np.float32))


def test_labels_and_probabilities_are_those_of_scikit_learn(client):
    result = ask(client, "patients", records())
    wanted, kinds = np.array(HELD_OUT["probabilities"]), np.array(["slow", "fast"])
    order = np.argsort(-wanted, axis=1, kind="stable")
    labels = np.char.decode(result.as_numpy("label").astype(bytes))
    assert labels.tolist() == kinds[order].tolist()
    np.testing.assert_allclose(result.as_numpy("probability"), np.take_along_axis(wanted, order, 1), atol=1e-6)
    assert (labels[:, 0] == HELD_OUT["kinds"]).mean() > 0.75


def test_one_record_gives_what_it_gives_among_others(client):
    together = ask(client, "patients", records()).as_numpy("probability")
    alone = [ask(client, "patients", records(slice(row, row + 1))).as_numpy("probability")[0] for row in range(5)]
    np.testing.assert_array_equal(alone, together[:5])


def test_missing_values_and_unknown_categories_are_what_training_says(client):
    known, missing, other = (features(client, records(slice(1), sex=sex))[0, 1:4].tolist() for sex in ("2", "", "3"))
    assert (known, missing, other) == ([0, 1, 0], [0, 0, 1], [0, 0, 0])
    specification = json.loads((FOLDER / "model_repository/features/1/data/features.json").read_text())["columns"]
    given = records(slice(1), born="")
    given["measurements"][:] = np.nan
    found = features(client, given)[0]
    fills = [column["fill"] for column in specification if column["kind"] in ("years", "number")]
    np.testing.assert_array_equal(found[[0, *range(4, 12)]], np.array(fills, np.float32))
    assert found[12:].tolist() == [1] * (len(specification) - 12)


@pytest.mark.parametrize("born", ["31.12.1964", "1964-02-30", "yesterday"])
def test_what_is_no_date_is_told_with_its_row(client, born):
    given = records(slice(3))
    given["born"][:, 0] = ["1964-12-31", born, ""]
    with pytest.raises(InferenceServerException) as refused:
        ask(client, "patients", given)
    assert f"row 1 of input 'born' is '{born}', expected a date like 1964-03-07" in refused.value.message()
    assert refused.value.status() in ("400", "StatusCode.INVALID_ARGUMENT")


def test_a_text_that_is_no_text_is_told(client):
    given = [client.input(name, np.array([[b"\xff"]], object), "BYTES") for name in TEXTS]
    with pytest.raises(InferenceServerException, match="has a text that is not UTF-8"):
        client.infer("patients", *given, client.input("measurements", np.zeros((1, 8)), "FP64"))
