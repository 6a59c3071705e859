"""Repository agents: asked when a model is loaded and unloaded; they veto, and put other files in the place of the model's own."""

import hashlib
import os
import pathlib
import shutil
import time

import numpy as np
import pytest
from clients import Client
from repository import tensors, write_model
from server import ROOT, Server
from tritonclient.utils import InferenceServerException

ONNX = ROOT / "tests/models/mlp.onnx"
INPUT = np.arange(4, dtype=np.float32)[None]


def agents(*entries: tuple[str, dict]) -> str:
    written = []
    for name, parameters in entries:
        pairs = "".join(f' parameters {{ key: "{key}" value: "{value}" }}' for key, value in parameters.items())
        written.append(f'{{ name: "{name}"{pairs} }}')
    return f"model_repository_agents {{ agents [ {', '.join(written)} ] }}\n"


def write_mlp(models: pathlib.Path, name: str, *entries, content: bytes | None = None):
    write_model(models, name, 'backend: "onnxruntime"\n' + agents(*entries))
    (models / name / "1/model.onnx").write_bytes(ONNX.read_bytes() if content is None else content)


@pytest.fixture(scope="module")
def agented(binary, tmp_path_factory):
    models, folder = tmp_path_factory.mktemp("agented"), tmp_path_factory.mktemp("agents")
    for name, guest in (("checksum", "checksum_agent"), ("turner", "agent"), ("not_one", "identity")):
        (folder / name).mkdir()
        shutil.copy(ROOT / f"target/guests/{guest}.wasm", folder / name / "agent.wasm")
    (folder / "turner/plugin.toml").write_text("[limits]\ncpu_ms = 200\n")
    (folder / "empty").mkdir()
    log = tmp_path_factory.mktemp("agents_server") / "log"
    scratch = tmp_path_factory.mktemp("scratch")
    flags = [f"--repoagent-directory={folder}", "--model-control-mode=explicit"]
    with Server(binary, log, [models], *flags, environment={"TMPDIR": str(scratch)}) as running:
        running.models, running.scratch = models, scratch
        yield running
        running.terminate()
        assert running.wait() == 0
    assert not list(scratch.glob("nereid-agents-*"))


@pytest.fixture
def client(agented):
    connected = Client("http", agented)
    yield connected
    connected.close()


def refusal(client, name: str) -> str:
    with pytest.raises(InferenceServerException) as refused:
        client.raw.load_model(name)
    return refused.value.message()


def answer(client, name: str) -> np.ndarray:
    metadata = client.raw.get_model_metadata(name)
    given = client.input(metadata["inputs"][0]["name"], INPUT, "FP32")
    return client.infer(name, given).as_numpy(metadata["outputs"][0]["name"])


def wait_until(condition, what=lambda: ""):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.02)


def wait_for_log(running, text: str):
    wait_until(lambda: text in running.log_text(), lambda: f"{text!r} is not there:\n{running.log_text()}")


def test_a_file_that_is_the_right_one_is_loaded_and_another_is_not(client, agented):
    digest = {"MD5:1/model.onnx": hashlib.md5(ONNX.read_bytes()).hexdigest()}
    write_mlp(agented.models, "checked", ("checksum", digest))
    client.raw.load_model("checked")
    write_mlp(agented.models, "plain")
    (agented.models / "plain/config.pbtxt").write_text('backend: "onnxruntime"\n')
    client.raw.load_model("plain")
    np.testing.assert_array_equal(answer(client, "checked"), answer(client, "plain"))
    # A file that somebody changed does not take the place of what serves.
    (agented.models / "checked/1/model.onnx").write_bytes(ONNX.read_bytes() + b" ")
    text = refusal(client, "checked")
    assert "model 'checked': repository agent 'checksum': plugin 'agent.wasm'" in text
    assert "'1/model.onnx' is not the file that it should be: its digest is" in text
    np.testing.assert_array_equal(answer(client, "checked"), answer(client, "plain"))


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"SHA256:1/model.onnx": "00" * 32}, "is not the file that it should be"),
        ({"MD5:1/other.onnx": "00" * 16}, "'/model/1/other.onnx' cannot be read"),
        ({"MD5:1/model.onnx": "abc"}, "expected 32 hexadecimal digits"),
        ({"MD5:../plain/config.pbtxt": "00" * 16}, "expected a path below the model's directory"),
    ],
)
def test_what_checksum_refuses(client, agented, parameters, expected):
    write_mlp(agented.models, "refused", ("checksum", parameters))
    assert expected in refusal(client, "refused")
    assert not client.raw.is_model_ready("refused")


def test_an_agent_makes_a_model_readable_and_is_told_what_becomes_of_it(client, agented):
    turned = bytes(255 - byte for byte in ONNX.read_bytes())
    digest = {"MD5:1/model.onnx": hashlib.md5(ONNX.read_bytes()).hexdigest()}
    # The second agent sees what the first one made.
    write_mlp(agented.models, "turned", ("turner", {"me": "t1", "turn": "1/model.onnx"}), ("checksum", digest), content=turned)
    for path in (agented.models / "turned").rglob("*.*"):
        os.utime(path, (1, 1))
    client.raw.load_model("turned")
    client.raw.load_model("plain")
    np.testing.assert_array_equal(answer(client, "turned"), answer(client, "plain"))
    wait_for_log(agented, "agent t1 of turned was told Action::Load model=")
    wait_for_log(agented, "agent t1 of turned was told Action::LoadComplete")
    assert len(list(agented.scratch.glob("nereid-agents-*/made-*"))) == 1
    # The same files are not loaded again, and nobody is asked.
    client.raw.load_model("turned")
    assert agented.log_text().count("agent t1 of turned was told Action::Load model=") == 1
    client.raw.unload_model("turned")
    wait_for_log(agented, "agent t1 of turned was told Action::Unload")
    wait_until(lambda: not list(agented.scratch.glob("nereid-agents-*")))
    assert (agented.models / "turned/1/model.onnx").read_bytes() == turned
    # Left loaded: nothing may lie there when the server has ended.
    client.raw.load_model("turned")


def test_those_that_were_asked_are_told_of_a_load_that_failed(client, agented):
    write_mlp(agented.models, "vetoed", ("turner", {"me": "v1"}), ("turner", {"me": "v2", "refuse": "not on a Friday"}), ("turner", {"me": "v3"}))
    assert "repository agent 'turner': plugin 'agent.wasm' of model 'agent:turner': not on a Friday" in refusal(client, "vetoed")
    for who in ("v1", "v2"):
        wait_for_log(agented, f"agent {who} of vetoed was told Action::LoadFail")
    assert "agent v3" not in agented.log_text()
    # The model's own fault, found by the backend.
    write_mlp(agented.models, "broken", ("turner", {"me": "b1", "complain": "yes"}), content=b"no model")
    refusal(client, "broken")
    wait_for_log(agented, "agent b1 of broken was told Action::LoadFail")
    wait_for_log(agented, "repository agent 'turner' of model 'broken' (LoadFail): ")


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"trap": "1"}, "out of luck"),
        ({"spin": "1"}, "(cpu_ms)"),
        ({"escape": "1"}, "granted for reading only"),
        ({"turn": "../plain/1/model.onnx"}, "cannot be read"),
    ],
)
def test_agents_that_misbehave_fail_their_load_alone(client, agented, parameters, expected):
    write_mlp(agented.models, "misled", ("turner", parameters))
    assert expected in refusal(client, "misled")
    client.raw.load_model("plain")
    assert client.raw.is_model_ready("plain")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("unknown", "there is no repository agent 'unknown': '"),
        ("empty", "empty/agent.wasm' is no file"),
        ("../agents", "this is no name of a folder"),
        ("not_one", "is built for the world transform-plugin, not for agent-plugin"),
    ],
)
def test_agents_that_are_none_are_told(client, agented, name, expected):
    write_mlp(agented.models, "lost", (name, {}))
    assert expected in refusal(client, "lost")


def test_without_a_folder_there_are_no_agents_and_an_agent_is_no_model(binary, tmp_path):
    models = tmp_path / "models"
    write_mlp(models, "lost", ("checksum", {}))
    write_model(models, "agent", 'backend: "wasm"\n' + tensors("input", ("X", "TYPE_FP32", "1")) + tensors("output", ("Y", "TYPE_FP32", "1")))
    shutil.copy(ROOT / "target/guests/agent.wasm", models / "agent/1/model.wasm")
    with Server(binary, tmp_path / "log", [models], "--model-control-mode=explicit") as running:
        client = Client("http", running)
        assert "start the server with --repoagent-directory=FOLDER" in refusal(client, "lost")
        assert "built for the world agent-plugin, which serves no requests" in refusal(client, "agent")
        client.close()
