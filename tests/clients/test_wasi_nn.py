"""Plugins whose inference code is written against wasi:nn and knows nothing of this server: they load its models by name and compute what
Triton's clients get from the models themselves."""

import shutil
import threading

import numpy as np
import pytest
from clients import Client
from repository import identity, tensors, write_model
from server import ROOT, Server
from tritonclient.utils import InferenceServerException

PLUGIN = 'backend: "wasm"\nmax_batch_size: 0\ninstance_group [ {{ count: {count} kind: KIND_CPU }} ]\n'
PICTURES = tensors("input", ("image", "TYPE_FP32", "-1, 1, 28, 28")) + tensors("output", ("logits", "TYPE_FP32", "-1, 10"))
FLOATS = tensors("input", ("INPUT0", "TYPE_FP32", "-1, 4")) + tensors("output", ("OUTPUT0", "TYPE_FP32", "-1, 4"))
TOGETHER = 16
GATHER = (
    f"max_batch_size: {TOGETHER}\n"
    f"dynamic_batching {{ preferred_batch_size: [ {TOGETHER} ] max_queue_delay_microseconds: 20000000 }}\n"
)


def write_guest(models, name: str, config: str, granted: str, count: int = 2):
    write_model(models, name, PLUGIN.format(count=count) + config)
    shutil.copy(ROOT / "target/guests/nn.wasm", models / name / "1/model.wasm")
    (models / name / "plugin.toml").write_text(f"[grants]\nmodels = {granted}\n")


@pytest.fixture(scope="module")
def neural(binary, tmp_path_factory):
    models = tmp_path_factory.mktemp("neural")
    shutil.copytree(ROOT / "model_repository/digits_cnn", models / "digits_cnn")
    write_model(models, "texts", identity("TYPE_STRING"))
    write_model(models, "gather", identity(dims="4", more=GATHER))
    write_guest(models, "classify", PICTURES, '["digits_cnn", "classify", "texts", "nobody"]')
    write_guest(models, "ungranted", PICTURES, "[]")
    write_guest(models, "gathering", FLOATS, '["gather"]', count=TOGETHER)
    with Server(binary, tmp_path_factory.mktemp("neural_server") / "log", [models]) as running:
        yield running


@pytest.fixture(params=["http", "grpc"])
def caller(request, neural):
    connected = Client(request.param, neural)
    yield connected
    connected.close()


def pictures(rows: int) -> np.ndarray:
    return np.random.default_rng(7).random((rows, 1, 28, 28), np.float32)


def classify(caller: Client, image: np.ndarray, model: str = "classify", **parameters) -> np.ndarray:
    answer = caller.infer(model, caller.input("image", image, "FP32"), parameters={"graph": "digits_cnn"} | parameters)
    return answer.as_numpy("logits")


def refusal(caller: Client, image: np.ndarray, model: str = "classify", **parameters) -> str:
    with pytest.raises(InferenceServerException) as caught:
        classify(caller, image, model, **parameters)
    return caught.value.message()


@pytest.mark.parametrize("named", [{}, {"names": "0"}, {"names": "input"}, {"graph": "digits_cnn:1"}, {"times": 3}])
def test_a_guest_computes_what_the_model_itself_answers(caller, named):
    image = pictures(3)
    expected = caller.infer("digits_cnn", caller.input("image", image, "FP32")).as_numpy("logits")
    np.testing.assert_allclose(classify(caller, image, **named), expected, rtol=1e-5, atol=1e-5)


def test_every_computation_is_a_request_of_the_model(caller):
    before = int(caller.statistics("digits_cnn")["inference_stats"]["success"]["count"])
    classify(caller, pictures(1), times=5)
    assert int(caller.statistics("digits_cnn")["inference_stats"]["success"]["count"]) == before + 5


def test_a_model_that_is_not_granted_is_refused_with_what_to_do(caller):
    said = refusal(caller, pictures(1), model="ungranted")
    assert "ErrorCode::Security: it may not call model 'digits_cnn': list it under [grants] models in its plugin.toml" in said
    assert "ErrorCode::Security: it may not call model 'gather'" in refusal(caller, pictures(1), graph="gather")


@pytest.mark.parametrize("graph", ["nobody", "digits_cnn:7"])
def test_what_is_not_there_is_not_found(caller, graph):
    assert "ErrorCode::NotFound: Request for unknown model" in refusal(caller, pictures(1), graph=graph)


def test_a_graph_comes_from_no_bytes_and_the_log_says_what_to_do(caller, neural):
    assert "ErrorCode::UnsupportedOperation: a model cannot be loaded from bytes" in refusal(caller, pictures(1), bytes=1)
    assert "wasi:nn: a model cannot be loaded from bytes: bring it into the server's repository" in neural.log_text()


def test_what_does_not_fit_is_told_with_both_sides(caller):
    said = refusal(caller, pictures(1), spoil="type")
    assert "ErrorCode::InvalidArgument: calling model 'digits_cnn'" in said and "FP32" in said and "INT32" in said
    said = refusal(caller, pictures(1), spoil="length")
    assert "ErrorCode::InvalidArgument: tensor 'image'" in said and "3136" in said and "3135" in said
    # More rows than the model takes at a time.
    said = refusal(caller, pictures(33))
    assert said.endswith("inference request batch-size must be <= 32 for 'digits_cnn'")


def test_a_model_of_texts_has_no_type_there(caller):
    assert "ErrorCode::UnsupportedOperation: output 'OUTPUT0' is of BYTES" in refusal(caller, pictures(1), graph="texts")


def test_a_guest_that_computes_with_itself_hears_of_the_chain(caller):
    said = refusal(caller, pictures(1), graph="classify")
    assert said.endswith("ErrorCode::RuntimeError: model 'classify' cannot be called, because it waits for this call itself: classify -> classify")


def test_computations_wait_without_threads_and_are_batched_together(neural):
    """The model waits for all of them, or for longer than this test: one that held a thread would be the last of its batch."""
    caller = Client("grpc", neural)
    row = [np.full((1, 4), index, np.float32) for index in range(TOGETHER)]
    found = [None] * TOGETHER

    def ask(index: int):
        given = caller.input("INPUT0", row[index], "FP32")
        found[index] = caller.infer("gathering", given, parameters={"graph": "gather"}).as_numpy("OUTPUT0")

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(TOGETHER)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((answer == given).all() for answer, given in zip(found, row, strict=True))
    statistics = caller.statistics("gather")
    assert (int(statistics["inference_count"]), int(statistics["execution_count"])) == (TOGETHER, 1)
    caller.close()
