"""Plugins with the whole life of a model, as clients meet them: configurations that they complete, readiness that they refuse, and
what they answer before they go. The plugin is the contract test's (`tests/guests/contract_full`), in a compiled and in an
interpreted language."""

import shutil
import threading
import time

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import tensors, write_model
from server import ROOT
from streams import wait_until
from tritonclient.utils import InferenceServerException

LANGUAGES = ("rust", "javascript")
QUICK_CHECKS = "[limits]\nreadiness_ms = 300\n"


def write_full(models, name: str, language: str = "rust", config: str | None = None):
    """A model whose configuration says nothing but `config`; nothing at all is written for None."""
    write_model(models, name, config or "")
    if config is None:
        (models / name / "config.pbtxt").unlink()
    shutil.copy(ROOT / f"target/guests/contract_full_{language}.wasm", models / name / "1" / "model.wasm")
    (models / name / "plugin.toml").write_text(QUICK_CHECKS)


@pytest.fixture
def opened(start_server, tmp_path, request):
    """A server over models that the test writes, in explicit mode, and a client of each protocol."""
    clients = []

    def open_with(*names, **options):
        (tmp_path / "models").mkdir()
        for name in names:
            write_full(tmp_path / "models", name, **options)
        server = start_server(tmp_path / "models", "--model-control-mode=explicit", *(f"--load-model={name}" for name in names))
        clients.extend(Client(protocol, server) for protocol in PROTOCOLS)
        return server, *clients

    yield open_with
    for client in clients:
        client.close()


def ask(client, model: str, mode: str, value: float = 1.0) -> float:
    x = client.input("X", np.array([[value]], np.float32), "FP32")
    return client.infer(model, x, parameters={"mode": mode}).as_numpy("X").item()


def tensor_of(config: dict, kind: str, name: str) -> tuple:
    """Type and dims; gRPC's JSON has the numbers as texts."""
    (found,) = [tensor for tensor in config[kind] if tensor["name"] == name]
    return found["data_type"], [int(extent) for extent in found["dims"]]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_model_without_a_configuration_has_the_plugins(opened, language):
    _, *clients = opened("alone", language=language)
    for client in clients:
        config = client.config("alone")
        assert tensor_of(config, "input", "X") == ("TYPE_FP32", [-1])
        assert tensor_of(config, "output", "X") == ("TYPE_FP32", [-1])
        assert tensor_of(config, "input", "W") == ("TYPE_STRING", [1])
        assert int(config["max_batch_size"]) == 8 and "dynamic_batching" in config and config["backend"] == "wasm"
        assert client.metadata("alone")["inputs"][0]["shape"] in ([-1, -1], ["-1", "-1"])
        assert ask(client, "alone", "pass", 2.5) == 2.5


def test_what_is_written_counts(opened):
    _, *clients = opened("partly", config='backend: "wasm"\nmax_batch_size: 4\ninput { name: "OPEN" optional: true }\n')
    for client in clients:
        config = client.config("partly")
        assert int(config["max_batch_size"]) == 4, "less than the plugin says"
        assert tensor_of(config, "input", "OPEN") == ("TYPE_INT64", [2, 3]), "completed from what is written"
        assert ask(client, "partly", "pass") == 1.0


@pytest.mark.parametrize(
    "config, expected",
    [
        (tensors("input", ("X", "TYPE_INT32", "-1")), "input 'X' of type FP32, and config.pbtxt says INT32"),
        (tensors("output", ("X", "TYPE_FP32", "5")), "output 'X' of dims [-1], and config.pbtxt says [5]"),
        ("max_batch_size: 16\n", "max_batch_size 8, and config.pbtxt says 16: write at most 8"),
        ("model_transaction_policy { decoupled: true }\n", "decoupled false, and config.pbtxt says true"),
        ("sequence_batching { }\n", "dynamic batching, and config.pbtxt says sequence_batching"),
        ('parameters { key: "unknown" value { string_value: "yes" } }\n', "plugin 'model.wasm' of model 'wrong': nothing is known"),
    ],
)  # fmt: skip
def test_a_contradiction_fails_the_load_with_both_sides(opened, tmp_path, config, expected):
    _, http, _ = opened()
    write_full(tmp_path / "models", "wrong", config='backend: "wasm"\n' + config)
    with pytest.raises(InferenceServerException) as failure:
        http.raw.load_model("wrong")
    assert expected in failure.value.message()
    assert "failed to complete the configuration of model 'wrong'" in failure.value.message()


def test_without_auto_complete_nobody_asks_the_plugin(start_server, tmp_path):
    write_full(tmp_path / "models", "alone", config='backend: "wasm"\n')
    server = start_server(tmp_path / "models", "--model-control-mode=explicit", "--disable-auto-complete-config")
    client = Client("http", server)
    with pytest.raises(InferenceServerException, match="declares no input and output"):
        client.raw.load_model("alone")
    client.close()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_model_is_not_ready_when_its_plugin_says_so(opened, language):
    server, *clients = opened("patient", "neighbour", language=language)
    for client in clients:
        assert client.raw.is_model_ready("patient")
        ask(client, "patient", "sick")
        wait_until(lambda: not client.raw.is_model_ready("patient"))
        assert client.raw.is_model_ready("neighbour") and client.raw.is_server_ready()
        assert "user-defined check failed): out of order" in client.index()["patient"][0]["reason"]
        assert ask(client, "patient", "well", 3.0) == 3.0, "requests are answered all the same"
        wait_until(lambda: client.raw.is_model_ready("patient"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_check_that_hangs_is_not_ready_and_no_probe_hangs(opened, language):
    _, *clients = opened("patient", language=language)
    for client in clients:
        ask(client, "patient", "hang")
        longest, ready = 0.0, True
        while ready:
            began = time.monotonic()
            ready = client.raw.is_model_ready("patient")
            longest = max(longest, time.monotonic() - began)
        assert longest < 0.3, "no probe waits for the check, which takes 300 ms to be ended"
        assert "was ended at its deadline of 300ms (readiness_ms)" in client.index()["patient"][0]["reason"]
        wait_until(lambda: client.raw.is_model_ready("patient"))
        assert ask(client, "patient", "pass", 4.0) == 4.0


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("how", ["unload", "reload"])
def test_what_is_kept_back_is_answered_when_the_model_goes(opened, tmp_path, language, how):
    _, http, grpc = opened("keeping", language=language)
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(ask(grpc, "keeping", "keep", 7.0)))
    waiting.start()
    wait_until(lambda: int(http.statistics("keeping")["execution_count"]) == 1)
    assert not answers
    if how == "unload":
        http.raw.unload_model("keeping")
    else:
        unguarded = 'parameters { key: "swap_guard_seconds" value { string_value: "0" } }\n'
        (tmp_path / "models/keeping/config.pbtxt").write_text('backend: "wasm"\nmax_batch_size: 2\n' + unguarded)
        http.raw.load_model("keeping")
    waiting.join()
    assert answers == [107.0]
