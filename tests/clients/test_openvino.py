"""OpenVINO IR and TensorFlow SavedModels through both protocols, completed from their files, with scikit-learn's own answers."""

import json
import shutil

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import tensors, write_model
from server import ROOT, Server
from tritonclient.utils import InferenceServerException

MODELS = ROOT / "tests/models/openvino"
EXPECTED = json.loads((ROOT / "tests/models/torch/digits_mlp.expected.json").read_text())
ROWS = np.array(EXPECTED["rows"], dtype=np.float32)


def place(folder, name, source, config=None):
    """`source` is the stem of an IR, or the name of a SavedModel."""
    version = folder / name / "1"
    version.mkdir(parents=True)
    if source.endswith(".savedmodel"):
        shutil.copytree(MODELS / source, version / "model.savedmodel")
    else:
        shutil.copy(MODELS / f"{source}.xml", version / "model.xml")
        shutil.copy(MODELS / f"{source}.bin", version / "model.bin")
    if config:
        (folder / name / "config.pbtxt").write_text(config)


def written(head, dims="64"):
    config = head + "max_batch_size: 20\n" + tensors("input", ("pixels", "TYPE_FP32", dims))
    return config + tensors("output", ("probabilities", "TYPE_FP32", "10"))


@pytest.fixture(scope="module")
def openvino_server(binary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("openvino")
    place(folder, "bare_ir", "digits")
    place(folder, "bare_saved", "digits.savedmodel")
    place(folder, "saved", "digits.savedmodel", written('platform: "tensorflow_savedmodel"\n'))
    place(folder, "one_row", "digits_one_row", written('backend: "openvino"\n'))
    waiting = "dynamic_batching { preferred_batch_size: [ 20 ] max_queue_delay_microseconds: 2000000 }\n"
    pair = "instance_group [ { count: 2 kind: KIND_CPU } ]\n"
    place(folder, "waiting", "digits", written('backend: "openvino"\n' + waiting))
    place(folder, "pair", "digits", written('backend: "openvino"\n' + pair))
    with Server(binary, tmp_path_factory.mktemp("log") / "log", [folder], "--backend-config=default-max-batch-size=32") as running:
        yield running


@pytest.fixture(params=PROTOCOLS)
def client(request, openvino_server):
    connected = Client(request.param, openvino_server)
    yield connected
    connected.close()


def ask(client, model, rows):
    return client.infer(model, client.input("pixels", rows, "FP32"))


def check(result, rows=slice(None)):
    np.testing.assert_allclose(result.as_numpy("probabilities"), np.array(EXPECTED["probabilities"])[rows], atol=1e-5)


@pytest.mark.parametrize("model", ["bare_ir", "bare_saved", "saved", "one_row", "pair"])
def test_answers_are_scikit_learns(client, model):
    check(ask(client, model, ROWS))


def test_a_saved_model_without_a_configuration_is_described_by_its_file(client):
    config = client.config("bare_saved")
    assert config["backend"] == "tensorflow" and config["max_batch_size"] == 32
    outputs = {output["name"]: output["datatype"] for output in client.metadata("bare_saved")["outputs"]}
    assert outputs == {"probabilities": "FP32", "label": "INT64"}
    labels = ask(client, "bare_saved", ROWS).as_numpy("label").reshape(-1)
    assert (labels == EXPECTED["labels"]).mean() >= 0.9
    assert client.config("bare_ir")["backend"] == "openvino"


def test_requests_share_an_execution_and_get_their_own_rows(openvino_server):
    client = Client("http", openvino_server)
    before = client.statistics("waiting")
    sent = [[client.input("pixels", ROWS[row : row + 1], "FP32")] for row in range(20)]
    pending = [client.raw.async_infer("waiting", inputs) for inputs in sent]
    for row, request in enumerate(pending):
        check(request.get_result(), slice(row, row + 1))
    after = client.statistics("waiting")
    count = lambda name: after.get(name, 0) - before.get(name, 0)  # noqa: E731
    assert count("inference_count") == 20 and count("execution_count") < 20
    client.close()


@pytest.fixture(params=PROTOCOLS)
def control(request, start_server, tmp_path):
    folder = tmp_path / "models"
    place(folder, "good", "digits")
    for name in ("truncated", "no_weights"):
        place(folder, name, "digits")
    text = (MODELS / "digits.xml").read_bytes()
    (folder / "truncated/1/model.xml").write_bytes(text[: len(text) // 2])
    (folder / "no_weights/1/model.bin").unlink()
    place(folder, "broken_saved", "digits.savedmodel")
    (folder / "broken_saved/1/model.savedmodel/saved_model.pb").write_bytes(b"\xff\x00 not a graph")
    place(folder, "narrow", "digits", written('backend: "openvino"\n', dims="63"))
    place(folder, "on_gpu", "digits", 'backend: "openvino"\ninstance_group [ { kind: KIND_GPU gpus: [ 0 ] } ]\n')
    parameter = 'parameters { key: "NUM_STREAMS" value: { string_value: "many" } }\n'
    place(folder, "parameter", "digits", 'backend: "openvino"\n' + parameter)
    write_model(folder, "frozen", 'platform: "tensorflow_graphdef"\n')
    client = Client(request.param, start_server(folder, "--model-control-mode=explicit", "--load-model=good"))
    yield client
    client.close()


REFUSED = {
    "truncated": "OpenVINO cannot read",
    "no_weights": "OpenVINO cannot",
    "broken_saved": "OpenVINO cannot read",
    "narrow": "input 'pixels' is FP32 [-1, 63] in the configuration",
    "on_gpu": "GPU",
    "parameter": "'NUM_STREAMS' is 'many'",
    "frozen": "does not serve frozen graphs",
}


def test_a_model_that_cannot_be_served_says_why_and_the_others_are_served(control):
    for name, reason in REFUSED.items():
        with pytest.raises(InferenceServerException) as refused:
            control.raw.load_model(name)
        assert reason in refused.value.message(), name
        assert "\n" not in refused.value.message(), name
    check(ask(control, "good", ROWS[:4]), slice(4))


def test_without_the_library_the_server_runs_and_says_what_to_do(start_server, tmp_path):
    folder = tmp_path / "models"
    place(folder, "ir", "digits")
    place(folder, "saved", "digits.savedmodel")
    missing = tmp_path / "nowhere/libopenvino_c.so"
    onnxruntime = next((ROOT / ".nereid/onnxruntime").glob("libonnxruntime.so.*"))
    for library, reason in ((missing, f"{missing} (no such file)"), (onnxruntime, "not an OpenVINO library")):
        options = [f"--backend-config=openvino,library={library}", "--strict-readiness=false", "--exit-on-error=false"]
        client = Client("http", start_server(folder, *options))
        assert client.raw.is_server_live()
        for model in ("ir", "saved"):
            told = client.index()[model][0]["reason"]
            assert reason in told and "cargo xtask backend openvino" in told
        client.close()
