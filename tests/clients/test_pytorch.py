"""TorchScript models through both protocols: scikit-learn's own answers, batches, instances, and everything that can be wrong with
a file or a library."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import tensors, write_model
from server import ROOT, Server
from tritonclient.utils import InferenceServerException

MODELS = ROOT / "tests/models/torch"
EXPECTED = json.loads((MODELS / "digits_mlp.expected.json").read_text())
ROWS = np.array(EXPECTED["rows"], dtype=np.float32)
WAITING = "dynamic_batching { preferred_batch_size: [ 20 ] max_queue_delay_microseconds: 2000000 }\n"
TWO = "instance_group [ { count: 2 kind: KIND_CPU } ]\n"


def place(folder, name, file, config, content=None):
    write_model(folder, name, config)
    if content is None:
        shutil.copy(MODELS / f"{file}.pt", folder / name / "1/model.pt")
    else:
        (folder / name / "1/model.pt").write_bytes(content)


def digits(more="", dims="64"):
    config = 'platform: "pytorch_libtorch"\nmax_batch_size: 20\n' + more
    config += tensors("input", ("INPUT__0", "TYPE_FP32", dims))
    return config + tensors("output", ("OUTPUT__0", "TYPE_FP32", "10"))


@pytest.fixture(scope="module")
def torch_server(binary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch")
    place(folder, "digits", "digits_mlp", digits())
    place(folder, "waiting", "digits_mlp", digits(WAITING))
    place(folder, "pair", "digits_mlp", digits(TWO))
    place(folder, "any_length", "digits_mlp", digits(dims="-1"))
    remembers = 'backend: "pytorch"\n' + tensors("input", ("x", "TYPE_FP32", "1, 2"))
    place(folder, "remembers", "remembers", remembers + tensors("output", ("y", "TYPE_FP32", "1, 2")))
    with Server(binary, tmp_path_factory.mktemp("log") / "log", [folder]) as running:
        yield running


@pytest.fixture(params=PROTOCOLS)
def client(request, torch_server):
    connected = Client(request.param, torch_server)
    yield connected
    connected.close()


def ask(client, model, rows):
    return client.infer(model, client.input("INPUT__0", rows, "FP32")).as_numpy("OUTPUT__0")


def check(found, rows=slice(None)):
    np.testing.assert_allclose(found, np.array(EXPECTED["probabilities"])[rows], atol=1e-5)


@pytest.mark.parametrize("model", ["digits", "pair"])
def test_answers_are_scikit_learns(client, model):
    found = ask(client, model, ROWS)
    check(found)
    assert (found.argmax(1) == EXPECTED["labels"]).mean() >= 0.9


def test_requests_share_an_execution_and_get_their_own_rows(torch_server):
    client = Client("http", torch_server)
    before = client.statistics("waiting")
    sent = [[client.input("INPUT__0", ROWS[row : row + 1], "FP32")] for row in range(20)]
    pending = [client.raw.async_infer("waiting", inputs) for inputs in sent]
    for row, request in enumerate(pending):
        check(request.get_result().as_numpy("OUTPUT__0"), slice(row, row + 1))
    after = client.statistics("waiting")
    count = lambda name: after.get(name, 0) - before.get(name, 0)  # noqa: E731
    assert count("inference_count") == 20 and count("execution_count") < 20
    client.close()


def test_a_state_goes_from_request_to_request(client):
    values = [client.infer("remembers", client.input("x", np.full([1, 2], value, np.float32), "FP32")) for value in (3, 4)]
    assert values[1].as_numpy("y").tolist() == [[3, 3]]


def test_a_wrong_shape_is_said_in_libtorchs_words_and_the_next_request_is_served(client):
    with pytest.raises(InferenceServerException) as refused:
        ask(client, "any_length", np.ones([3, 5], np.float32))
    expected = "PyTorch execute failure: mat1 and mat2 shapes cannot be multiplied (3x5 and 64x32)"
    assert refused.value.message().endswith(expected)
    check(ask(client, "any_length", ROWS))


@pytest.fixture(params=PROTOCOLS)
def control(request, start_server, tmp_path):
    folder = tmp_path / "models"
    good = (MODELS / "digits_mlp.pt").read_bytes()
    place(folder, "good", "digits_mlp", digits())
    place(folder, "truncated", None, digits(), good[: len(good) // 2])
    part = good.index(b"data.pkl") + 100
    place(folder, "corrupt", None, digits(), good[:part] + b"\xa5" * 100 + good[part + 100 :])
    place(folder, "onnx", None, digits(), (ROOT / "tests/models/mlp.onnx").read_bytes())
    place(folder, "empty", None, digits(), b"")
    place(folder, "on_gpu", "digits_mlp", digits("instance_group [ { kind: KIND_GPU gpus: [ 0 ] } ]\n"))
    place(folder, "undescribed", "add_sub", 'backend: "pytorch"\n')
    text = digits().replace("TYPE_FP32 dims: [ 64 ]", "TYPE_STRING dims: [ 64 ]")
    place(folder, "text", "digits_mlp", text)
    parameter = 'parameters { key: "INFERENCE_MODE" value: { string_value: "perhaps" } }\n'
    place(folder, "parameter", "digits_mlp", digits(parameter))
    place(folder, "native", "digits_mlp", digits('default_model_filename: "model.pt2"\n'))
    server = start_server(folder, "--model-control-mode=explicit", "--load-model=good")
    client = Client(request.param, server)
    yield client
    client.close()


REFUSED = {
    "truncated": "LibTorch cannot load",
    "corrupt": "LibTorch cannot load",
    "onnx": "LibTorch cannot load",
    "empty": "LibTorch cannot load",
    "on_gpu": "GPU",
    "native": "AOTInductor packages (.pt2) are native code, and served from folders",
    "undescribed": "Its forward takes (left, right)",
    "text": "TYPE_STRING",
    "parameter": "'INFERENCE_MODE' is 'perhaps', expected true or false",
}


def test_a_model_that_cannot_be_served_says_why_and_the_others_are_served(control):
    for name, reason in REFUSED.items():
        with pytest.raises(InferenceServerException) as refused:
            control.raw.load_model(name)
        assert reason in refused.value.message(), name
        assert "\n" not in refused.value.message(), name
        assert not control.raw.is_model_ready(name)
    check(ask(control, "good", ROWS))


@pytest.mark.parametrize("named", [True, False], ids=["file_named", "file_not_named"])
def test_packages_are_served_from_folders_that_the_operator_trusts(start_server, tmp_path, named):
    folder = tmp_path / "models"
    config = 'platform: "torch_aoti"\nmax_batch_size: 4\n' + ('default_model_filename: "model.pt2"\n' if named else "")
    config += tensors("input", ("INPUT__0", "TYPE_FP32", "2")) + tensors("output", ("OUTPUT__0", "TYPE_FP32", "2"))
    write_model(folder, "doubles", config)
    subprocess.run([sys.executable, ROOT / "tests/models/torch/make_package.py", folder / "doubles/1/model.pt2"], check=True)
    trusting = Client("grpc", start_server(folder, f"--backend-config=pytorch,trusted-folder={folder}"))
    assert trusting.config("doubles")["default_model_filename"] == "model.pt2"
    rows = np.array([[1.5, -2.0], [0.0, 4.0]], dtype=np.float32)
    assert np.array_equal(ask(trusting, "doubles", rows), rows * 2)
    wary = Client("http", start_server(folder, "--strict-readiness=false", "--exit-on-error=false"))
    assert "are native code, and served from folders" in wary.index()["doubles"][0]["reason"]


@pytest.mark.parametrize("said_by", ["flag", "variable"])
def test_without_the_library_the_server_runs_and_says_what_to_do(start_server, tmp_path, said_by):
    folder = tmp_path / "models"
    place(folder, "digits", "digits_mlp", digits())
    missing = tmp_path / "nowhere/libnereid_torch.so"
    options = ["--strict-readiness=false", "--exit-on-error=false"]
    environment = {}
    if said_by == "flag":
        options.append(f"--backend-config=pytorch,library={missing}")
    else:
        environment["NEREID_PYTORCH_LIBRARY"] = str(missing)
    client = Client("http", start_server(folder, *options, environment=environment))
    assert client.raw.is_server_live() and not client.raw.is_model_ready("digits")
    reason = client.index()["digits"][0]["reason"]
    assert f"{missing} (no such file)" in reason and "cargo xtask backend pytorch" in reason


def test_a_library_that_is_none_is_told_apart(start_server, tmp_path):
    folder = tmp_path / "models"
    place(folder, "digits", "digits_mlp", digits())
    onnxruntime = next((ROOT / ".nereid/onnxruntime").glob("libonnxruntime.so.*"))
    text = tmp_path / "text.so"
    text.write_text("not a library")
    for library, reason in ((onnxruntime, "not the shim"), (text, "cannot be loaded")):
        options = [f"--backend-config=pytorch,library={library}", "--strict-readiness=false", "--exit-on-error=false"]
        client = Client("http", start_server(folder, *options))
        assert reason in client.index()["digits"][0]["reason"]
