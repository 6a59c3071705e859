"""Plugins in every language behind the real server: the contract test's components, asked by Triton's clients. What each must
do is `host/plugin/tests/contract.rs`; here is what only a server has: clients, other models, the log."""

import shutil

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import tensors, write_model
from server import ROOT
from tritonclient.utils import InferenceServerException

LANGUAGES = ["rust", "python", "javascript", "c", "go"]
# Where the accident of `trap` happens, as an author would look for it.
PLACES = {"rust": "src/lib.rs:", "python": "plugin.py:", "javascript": "plugin.js:", "go": "plugin.go:", "c": "fail_on_purpose"}
# What it says; C has no words for it.
ACCIDENTS = {"c": "unreachable"}
WORDS = np.array([b"\0\xff", b"", "grün".encode()], np.object_)


def config(backend: str, data_type: str) -> str:
    parameters = 'parameters { key: "scale" value: { string_value: "3" } }\n'
    named = [tensors(kind, ("X", data_type, "-1")) for kind in ("input", "output")]
    return f'backend: "{backend}"\nmax_batch_size: 0\n{parameters}' + "".join(named)


@pytest.fixture(scope="module")
def languages(binary, tmp_path_factory):
    """Serves each language's component twice, over numbers and over texts, and the two models that it calls."""
    from server import Server

    models = tmp_path_factory.mktemp("languages")
    for language in LANGUAGES:
        for name, data_type in ((language, "TYPE_FP32"), (f"{language}_words", "TYPE_STRING")):
            write_model(models, name, config("wasm", data_type))
            (models / name / "plugin.toml").write_text('[grants]\nmodels = ["left", "right"]\n')
            shutil.copy(ROOT / f"target/guests/contract_{language}.wasm", models / name / "1/model.wasm")
    for name in ("left", "right"):
        write_model(models, name, config("identity", "TYPE_FP32"))
    log = tmp_path_factory.mktemp("languages_server") / "log"
    # Shared with the contract test, which compiles the same components.
    with Server(binary, log, [models], f"--plugin-cache-directory={ROOT}/target/plugin-cache") as running:
        yield running


@pytest.fixture(params=PROTOCOLS)
def client(request, languages):
    connected = Client(request.param, languages)
    yield connected
    connected.close()


def ask(client: Client, language: str, mode: str, values, **parameters):
    array = np.array(values, np.float32)
    return client.infer(language, client.input("X", array, "FP32"), parameters={"mode": mode, **parameters})


@pytest.mark.parametrize("language", LANGUAGES)
def test_numbers_are_scaled_by_a_setting(client, language):
    assert ask(client, language, "transform", [1, 2.5]).as_numpy("X").tolist() == [3, 7.5]


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_come_back_as_they_were(client, language):
    given = client.input("X", WORDS, "BYTES")
    answer = client.infer(f"{language}_words", given, parameters={"mode": "identity"})
    assert answer.as_numpy("X").tolist() == WORDS.tolist()


@pytest.mark.parametrize("language", LANGUAGES)
def test_two_models_are_called(client, language):
    assert ask(client, language, "bls", [1, 2]).as_numpy("X").tolist() == [2, 4]


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_error_has_the_status_of_its_kind(client, language):
    with pytest.raises(InferenceServerException, match="this request is refused") as caught:
        ask(client, language, "refuse", [1])
    assert caught.value.status() in ("400", "StatusCode.INVALID_ARGUMENT")


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_accident_is_told_to_the_client_and_the_next_request_is_served(client, language):
    with pytest.raises(InferenceServerException, match=ACCIDENTS.get(language, "out of luck")) as caught:
        ask(client, language, "trap", [1])
    assert PLACES[language] in caught.value.message()
    assert caught.value.status() in ("500", "StatusCode.INTERNAL")
    assert ask(client, language, "pass", [1]).as_numpy("X").tolist() == [1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_lines_are_in_the_servers_log(client, languages, language):
    ask(client, language, "log", [1])
    lines = [line for line in languages.log_text().splitlines() if "the contract says hello" in line]
    assert any(f"model={language}" in line.replace('"', "") for line in lines), lines


def test_a_traceback_of_python_is_in_the_servers_log_line_by_line(client, languages):
    with pytest.raises(InferenceServerException):
        ask(client, "python", "trap", [1])
    text = languages.log_text()
    assert "Traceback (most recent call last):" in text
    assert "in fail_on_purpose" in text and "RuntimeError: out of luck" in text


@pytest.mark.parametrize("language", ["python", "javascript", "c", "go"])
def test_what_a_plugin_prints_is_in_the_servers_log(client, languages, language):
    ask(client, language, "log", [1])
    text = languages.log_text()
    assert f"the contract prints in {language}" in text
    assert language != "javascript" or 'prints in javascript 1 {"rows":["2"]}' in text.replace("\\", "")


def test_where_go_panicked_is_in_the_servers_log(client, languages):
    with pytest.raises(InferenceServerException):
        ask(client, "go", "trap", [1])
    text = languages.log_text()
    assert "main.failOnPurpose(" in text and "contract/plugin.go:" in text


def test_an_accident_of_go_beside_the_call_is_told_in_the_log_and_the_next_request_is_served(client, languages):
    with pytest.raises(InferenceServerException, match="collector.go:"):
        ask(client, "go", "accident", [1])
    text = languages.log_text()
    assert "panic: out of luck elsewhere" in text and "collector.go:" in text
    assert ask(client, "go", "pass", [1]).as_numpy("X").tolist() == [1]
