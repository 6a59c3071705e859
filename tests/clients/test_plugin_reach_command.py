"""`nereid plugin test` and `inspect` for a plugin that reaches beyond its tensors: the models that it controls, and the grants that it
needs."""

import json
import shutil

import pytest
from repository import identity, tensors, write_model
from server import ROOT, Server
from test_plugin_command import nereid, write_case  # noqa: F401 (a fixture)

CONFIG = 'backend: "wasm"\nmax_batch_size: 0\n' + tensors("input", ("X", "TYPE_FP32", "1")) + tensors("output", ("REACHED", "TYPE_STRING", "1"))
GRANTS = '[grants]\nmodel_control = ["*"]\n'
OPERATOR = '[plugins.grants]\nmodel_control = ["*"]\n'


@pytest.fixture
def reach(tmp_path):
    """The plugin's folder, and what its operator allows."""
    write_model(tmp_path / "models", "reach", CONFIG)
    folder = tmp_path / "models/reach"
    shutil.copy(ROOT / "target/guests/reach.wasm", folder / "1/model.wasm")
    (folder / "plugin.toml").write_text(GRANTS)
    (folder / "tests").mkdir()
    operator = tmp_path / "nereid.toml"
    operator.write_text(OPERATOR)
    return folder, f"--server-config={operator}"


def step(what: str, name: str = "", **expected) -> dict:
    """A request that reaches for something, and what is expected of it."""
    inputs = [{"name": "X", "datatype": "FP32", "shape": [1], "data": [0]}]
    return {"request": {"inputs": inputs, "parameters": {"what": what, "name": name}}, **expected}


def reached(text: str) -> dict:
    return {"response": {"outputs": [{"name": "REACHED", "datatype": "BYTES", "shape": [1], "data": [text]}]}}


def test_a_case_lists_the_models_that_a_plugin_loads_and_unloads(nereid, reach):  # noqa: F811
    folder, operator = reach
    steps = [
        step("index", **reached("big Some(false)\nbroken Some(false)\nsmall Some(true)")),
        step("load", "big", **reached("")),
        step("unload", "small", **reached("")),
        step("load", "broken", error="no room for it"),
        step("load", "other", error="model 'other' is not among the models of 'control' in the case"),
        step("index", **reached("big Some(true)\nbroken Some(false)\nsmall Some(false)")),
    ]
    control = {"big": "UNAVAILABLE", "small": "READY", "broken": {"error": "no room for it"}}
    write_case(folder, "controls", steps=steps, control=control)
    shown = nereid("test", folder, operator)
    assert shown.endswith("\n1 passed, 0 failed\n") and "control.load 1" in shown, shown


def test_without_models_the_text_says_how_to_give_them_and_without_a_grant_nothing_is_reached(nereid, reach):  # noqa: F811
    folder, operator = reach
    write_case(folder, "loads", **step("load", "big"))
    shown = nereid("test", folder, operator, fails=True)
    assert '"control": {"digits": "READY"}, or give a server with --server' in shown, shown
    (folder / "plugin.toml").unlink()
    assert "model_control" in nereid("test", folder, operator, fails=True)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_server_s_models_are_loaded_and_unloaded_in_earnest(nereid, reach, binary, tmp_path, protocol):  # noqa: F811
    folder, operator = reach
    served = tmp_path / "served"
    write_model(served, "big", identity())
    steps = [step("load", "big"), step("index", **reached("big Some(true)")), step("load", "none", error="none")]
    write_case(folder, "controls", steps=steps)
    with Server(binary, tmp_path / "log", [served], "--model-control-mode=explicit") as server:
        address = {"http": server.http_url, "grpc": server.grpc_url}[protocol]
        shown = nereid("test", folder, operator, f"--server={protocol}://{address}")
        assert shown.endswith("\n1 passed, 0 failed\n"), shown
        assert server.get("/v2/models/big/ready").status == 200
        write_case(folder, "controls", **step("unload", "big"))
        nereid("test", folder, operator, f"--server={protocol}://{address}")
        rows = json.loads(server.request("POST", "/v2/repository/index").body)
        assert [row.get("state") for row in rows if row["name"] == "big"] != ["READY"], rows


def test_inspect_names_the_grants_as_plugin_toml_has_them(nereid, reach):  # noqa: F811
    folder, _ = reach
    component = folder / "1/model.wasm"
    shown = nereid("inspect", component)
    assert "grants    [grants]  # in plugin.toml; of these, what it really uses" in shown, shown
    needs = {need["key"]: need for need in json.loads(nereid("inspect", component, "--json"))["grants"]}
    assert {"model_control", "secrets", "files", "models"} <= needs.keys(), needs
    assert all(not need["required"] for need in needs.values())
    assert any(name.startswith("nereid:plugin/control@") for name in needs["model_control"]["imports"])
    # Every line is one that plugin.toml understands: what is missing then is what the operator did not allow, or is not there.
    (folder / "plugin.toml").write_text("[grants]\n" + "".join(need["example"] + "\n" for need in needs.values()))
    refused = nereid("test", folder, "-i", "X=0", fails=True)
    assert "asks for what it cannot be granted" in refused and "unknown field" not in refused, refused
    assert "model_control 'NAME': the operator does not allow it" in refused, refused
    assert "grants    nothing" in nereid("inspect", ROOT / "target/guests/identity.wasm")
