"""examples/panel: several models asked at once by a plugin that awaits; who is left out, and that calls, requests and clients do not
wait for each other."""

import shutil

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import tensors, write_model
from server import ROOT, Server
from tritonclient.utils import InferenceServerException

EXAMPLE = ROOT / "examples/panel/model_repository"
XY = tensors("input", ("X", "TYPE_FP32", "3")) + tensors("output", ("Y", "TYPE_FP32", "3"))
# As long as nobody waits.
SLOW = 'parameters { key: "execute_delay_ms" value: { string_value: "20000" } }\n'
# Waits for a second request as long as any test may take.
PAIR = "dynamic_batching { preferred_batch_size: [ 2 ] max_queue_delay_microseconds: 8000000 }\n"
GRANTS_ALL = '[grants]\nmodels = ["*"]\n'


def write_panel(models, name: str, asked: str, grants: str = GRANTS_ALL, **settings):
    """A panel over models that give X as Y, or probabilities."""
    settings = {"models": asked, "scores": "Y"} | settings
    config = "".join(f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}\n' for key, value in settings.items())
    config += tensors("input", ("X", "TYPE_FP32", "3")) + tensors("output", ("probability", "TYPE_FP32", "3"))
    write_model(models, name, 'backend: "wasm"\nmax_batch_size: 8\n' + config)
    shutil.copy(EXAMPLE / "digits_panel/1/model.wasm", models / name / "1/model.wasm")
    (models / name / "plugin.toml").write_text(grants)


@pytest.fixture(scope="module")
def panels(binary, tmp_path_factory):
    models = tmp_path_factory.mktemp("panels")
    for name, more in (("left", ""), ("right", ""), ("slow", SLOW), ("pair", PAIR)):
        write_model(models, name, 'backend: "identity"\nmax_batch_size: 8\n' + XY + more)
    write_panel(models, "both", "left, right")
    write_panel(models, "nested", "both, both", scores="probability")
    write_panel(models, "lonely", "left, nobody")
    write_panel(models, "hasty", "left, slow", timeout_ms=300)
    write_panel(models, "strict", "left, nobody, none", quorum=2)
    write_panel(models, "together", "pair, pair", timeout_ms=60000)
    write_panel(models, "curious", "left, right", grants='[grants]\nmodels = ["left"]\n')
    with Server(binary, tmp_path_factory.mktemp("panels_server") / "log", [models]) as running:
        yield running


@pytest.fixture(params=PROTOCOLS)
def client(request, panels):
    connected = Client(request.param, panels)
    yield connected
    connected.close()


def softmax(scores):
    powers = np.exp(scores)
    return powers / powers.sum(axis=-1, keepdims=True)


def ask(client: Client, panel: str, scores=((1.0, 2.0, 3.0),)):
    """The probabilities, and how many were asked and answered."""
    result = client.infer(panel, client.input("X", np.array(scores, np.float32), "FP32"))
    answer = result.get_response()
    if isinstance(answer, dict):
        said = answer["parameters"]
    else:
        said = {name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in answer.parameters.items()}
    return result.as_numpy("probability"), (said["asked"], said["answered"])


def test_the_mean_is_that_of_all_models(client):
    scores = [[1.0, 2.0, 3.0], [0.0, 0.0, 9.0]]
    probabilities, counts = ask(client, "both", scores)
    np.testing.assert_allclose(probabilities, softmax(np.array(scores)), rtol=1e-5)
    assert counts == (2, 2)


def test_models_are_asked_at_the_same_time(client):
    """Both calls are one batch of the model that waits for two."""
    before = client.statistics("pair")
    assert ask(client, "together")[1] == (2, 2)
    after = client.statistics("pair")
    grown = {key: int(after.get(key, 0)) - int(before.get(key, 0)) for key in ("inference_count", "execution_count")}
    assert grown == {"inference_count": 2, "execution_count": 1}


def test_a_panel_asks_panels(client):
    scores = np.array([[1.0, 2.0, 3.0]])
    probabilities, counts = ask(client, "nested", scores)
    np.testing.assert_allclose(probabilities, softmax(softmax(scores)), rtol=1e-5)
    assert counts == (2, 2)


def test_a_model_that_is_not_there_is_left_out(client):
    assert ask(client, "lonely")[1] == (2, 1)


def test_a_model_that_is_late_is_left_out(client):
    assert ask(client, "hasty")[1] == (2, 1)


def test_fewer_than_must_answer_are_no_answer(client):
    text = "plugin 'model.wasm' of model 'strict': 1 of 3 models answered in time, and 2 must"
    with pytest.raises(InferenceServerException, match=text) as refused:
        ask(client, "strict")
    assert refused.value.status() in ("503", "StatusCode.UNAVAILABLE")


def test_a_model_that_is_not_granted_is_an_error(client):
    with pytest.raises(InferenceServerException, match="'right'") as refused:
        ask(client, "curious")
    assert refused.value.status() in ("403", "StatusCode.PERMISSION_DENIED")
