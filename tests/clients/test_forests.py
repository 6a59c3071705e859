"""Tree forests through both protocols: scores, classes and SHAP values as the frameworks themselves give them."""

import json
import shutil

import numpy as np
import pytest
from clients import Client
from server import ROOT

FORESTS = ROOT / "tests/models/forests"

# Models with the files that they have in a version's directory.
FILES = {
    "xgb_binary": ("xgb_binary.json", "xgboost.json"),
    "xgb_classes": ("xgb_classes.ubj", "xgboost.ubj"),
    "lgb_categories": ("lgb_categories.txt", "model.txt"),
    "tl_forest": ("tl_forest.tl", "checkpoint.tl"),
    "skl_histogram": ("skl_histogram.forest.json", "forest.json"),
}

EXPLAINED = """
backend: "fil"
max_batch_size: 64
input [ { name: "input__0" data_type: TYPE_FP32 dims: [ 13 ] } ]
output [
  { name: "output__0" data_type: TYPE_FP32 dims: [ 3 ] },
  { name: "treeshap_output" data_type: TYPE_FP32 dims: [ 3, 14 ] }
]
instance_group [ { kind: KIND_AUTO } ]
parameters [
  { key: "model_type" value: { string_value: "lightgbm" } },
  { key: "output_class" value: { string_value: "true" } },
  { key: "predict_proba" value: { string_value: "true" } },
  { key: "threshold" value: { string_value: "0.5" } },
  { key: "algo" value: { string_value: "ALGO_AUTO" } },
  { key: "storage_type" value: { string_value: "AUTO" } },
  { key: "blocks_per_sm" value: { string_value: "0" } }
]
dynamic_batching { }
"""


def place(repository, model, file, name, config=None):
    (repository / model / "1").mkdir(parents=True)
    shutil.copy(FORESTS / file, repository / model / "1" / name)
    if config:
        (repository / model / "config.pbtxt").write_text(config)


def expected(model):
    document = json.loads((FORESTS / f"{model}.expected.json").read_text())
    table = lambda rows: np.array([[np.nan if value is None else value for value in row] for row in rows])  # noqa: E731
    return table(document["rows"]).astype(np.float32), table(document["scores"]), document.get("shap")


@pytest.fixture(scope="module")
def forest_server(binary, tmp_path_factory):
    from server import Server

    repository = tmp_path_factory.mktemp("forests")
    for model, (file, name) in FILES.items():
        place(repository, model, file, name)
    scores = 'backend: "fil" parameters { key: "predict_proba" value: { string_value: "true" } }'
    place(repository, "probabilities", "xgb_classes.ubj", "xgboost.ubj", scores)
    place(repository, "explained", "lgb_classes.txt", "model.txt", EXPLAINED)
    with Server(binary, tmp_path_factory.mktemp("log") / "log", [repository]) as running:
        yield running


@pytest.fixture(params=["http", "grpc"])
def forest_client(request, forest_server):
    connected = Client(request.param, forest_server)
    yield connected
    connected.close()


def close(found, wanted):
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("model", FILES)
def test_a_file_alone_is_served(forest_client, model):
    rows, scores, _ = expected(model)
    found = forest_client.infer(model, forest_client.input("input__0", rows, "FP32")).as_numpy("output__0")
    if model == "lgb_categories":
        close(found, scores)
    else:
        classes = scores.argmax(axis=1) if scores.shape[1] > 1 else scores[:, 0] > 0.5
        assert found[:, 0].tolist() == classes.astype(float).tolist()
    config = forest_client.config(model)
    assert config["max_batch_size"] == 32768 and config["backend"] == "fil"


def test_probabilities_are_the_frameworks(forest_client):
    rows, scores, _ = expected("xgb_classes")
    found = forest_client.infer("probabilities", forest_client.input("input__0", rows, "FP32"))
    close(found.as_numpy("output__0"), scores)


def test_shap_values_under_tritons_configuration(forest_client):
    rows, scores, shap = expected("lgb_classes")
    found = forest_client.infer("explained", forest_client.input("input__0", rows, "FP32"))
    close(found.as_numpy("output__0"), scores)
    assert found.as_numpy("treeshap_output").shape == (len(rows), 3, 14)
    close(found.as_numpy("treeshap_output"), np.array(shap))
    only_scores = forest_client.raw.infer(
        "explained", [forest_client.input("input__0", rows, "FP32")], outputs=[forest_client.output("output__0")]
    )
    assert only_scores.as_numpy("treeshap_output") is None


def test_a_row_of_another_length_is_refused(forest_client):
    with pytest.raises(Exception, match=r"unexpected shape for input 'input__0' for model 'xgb_binary'. Expected \[-1,12\]"):
        forest_client.infer("xgb_binary", forest_client.input("input__0", np.zeros((1, 11), np.float32), "FP32"))


def test_a_broken_file_fails_its_model_by_name_and_no_other(start_server, tmp_path):
    place(tmp_path / "models", "good", "xgb_binary.json", "xgboost.json")
    place(tmp_path / "models", "bad", "xgb_binary.json", "xgboost.json")
    file = tmp_path / "models/bad/1/xgboost.json"
    file.write_text(file.read_text()[:5000])
    server = start_server(tmp_path / "models", "--strict-readiness=false", "--exit-on-error=false")
    client = Client("http", server)
    reasons = {name: rows[0].get("reason", "") for name, rows in client.index().items()}
    assert "cannot read" in reasons["bad"] and "as xgboost_json: byte 5000: " in reasons["bad"], reasons
    assert client.raw.is_model_ready("good")
    client.close()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_wine_of_the_demo_is_told_by_its_measurements(demo_server, protocol):
    held_out = json.loads((ROOT / "examples/forests/heldout.json").read_text())
    rows, probabilities = np.array(held_out["rows"], np.float32), np.array(held_out["probabilities"])
    client = Client(protocol, demo_server)
    asked = [client.output("output__0"), client.output("treeshap_output")]
    found = client.raw.infer("wine", [client.input("input__0", rows, "FP32")], outputs=asked)
    close(found.as_numpy("output__0"), probabilities)
    assert (found.as_numpy("output__0").argmax(axis=1) == held_out["kinds"]).mean() > 0.9
    margins = found.as_numpy("treeshap_output").sum(axis=2)
    close(np.exp(margins) / np.exp(margins).sum(axis=1, keepdims=True), probabilities)
    label = client.raw.infer(
        "wine", [client.input("input__0", rows[:1], "FP32")], outputs=[client.output("output__0", class_count=1)]
    ).as_numpy("output__0")
    assert str(label.ravel()[0]).rstrip("'").endswith(f"class_{held_out['kinds'][0]}"), label
    client.close()
