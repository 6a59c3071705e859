"""What a plugin reaches beyond its tensors: nothing that its plugin.toml does not ask for, and nothing that nereid.toml does not
allow. Through the real server, with Triton's clients."""

import json
import shutil

import numpy as np
import pytest
from clients import Client
from repository import identity, tensors, write_model
from server import ROOT, Server, run_to_end
from tritonclient.utils import InferenceServerException

CONFIG = 'backend: "wasm"\nmax_batch_size: 0\n' + tensors("input", ("X", "TYPE_FP32", "1")) + tensors("output", ("REACHED", "TYPE_STRING", "1"))
MODELS = ["granted", "bare", "other", "acme_reach", "acme_other"]

OPERATOR = """
[plugins.grants]
model_control = ["other"]
secrets = ["key", "of_the_environment"]
files = [{{ path = "{outside}", write = true }}]

[secrets.key]
file = "{secret}"

[secrets.of_the_environment]
environment = "NEREID_TEST_SECRET"

[tenants.acme]
models = ["acme_*"]
grants = {{ secrets = [], files = [] }}
"""

GRANTED = """
[grants]
models = ["other"]
model_control = ["other"]
secrets = ["key", "of_the_environment"]
files = [
  {{ path = "data", at = "/data" }},
  {{ path = "{outside}", at = "/scratch", write = true }},
]
"""


def write_reach(models, name: str, plugin_toml: str | None):
    write_model(models, name, CONFIG)
    version = models / name / "1"
    shutil.copy(ROOT / "target/guests/reach.wasm", version / "model.wasm")
    (version / "data").mkdir()
    (version / "data/words.txt").write_text("abcdef")
    if plugin_toml is not None:
        (models / name / "plugin.toml").write_text(plugin_toml)


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="module")
def reached(binary, outside, tmp_path_factory):
    models = tmp_path_factory.mktemp("grants")
    secret = tmp_path_factory.mktemp("secrets") / "key"
    secret.write_text("hunter2\n")
    operator = tmp_path_factory.mktemp("operator") / "nereid.toml"
    operator.write_text(OPERATOR.format(outside=outside, secret=secret))
    write_reach(models, "granted", GRANTED.format(outside=outside))
    write_reach(models, "bare", None)
    write_reach(models, "acme_reach", '[grants]\nmodels = ["*"]\n')
    for name in ("other", "acme_other"):
        write_model(models, name, identity())
    log = tmp_path_factory.mktemp("grants_server") / "log"
    flags = [f"--server-config={operator}", "--model-control-mode=explicit", *(f"--load-model={name}" for name in MODELS)]
    with Server(binary, log, [models], *flags, environment={"NEREID_TEST_SECRET": "s3cret"}) as running:
        running.models = models
        yield running
        text = running.log_text()
        assert "hunter2" not in text and "s3cret" not in text


@pytest.fixture
def client(reached):
    connected = Client("grpc", reached)
    yield connected
    connected.close()


def reach(client: Client, model: str, what: str, name: str = "") -> str:
    given = client.input("X", np.zeros(1, np.float32), "FP32")
    answer = client.infer(model, given, parameters={"what": what, "name": name})
    return answer.as_numpy("REACHED")[0].decode()


def refusal(client: Client, model: str, what: str, name: str = "") -> str:
    with pytest.raises(InferenceServerException) as caught:
        reach(client, model, what, name)
    assert "PERMISSION_DENIED" in caught.value.status(), caught.value
    return caught.value.message()


def test_a_plugin_reads_the_folder_that_it_was_granted(client):
    assert reach(client, "granted", "read", "/data/words.txt") == "abcdef"
    assert reach(client, "granted", "middle", "/data/words.txt") == "cde"
    assert reach(client, "granted", "list", "/data") == "words.txt 6 false"


def test_a_plugin_writes_where_it_may(client, outside):
    reach(client, "granted", "write", "/scratch/new.txt")
    assert (outside / "new.txt").read_text() == "written"
    assert reach(client, "granted", "list", "/scratch") == "new.txt 7 false"
    reach(client, "granted", "remove", "/scratch/new.txt")
    assert not (outside / "new.txt").exists()
    assert "for reading only" in refusal(client, "granted", "write", "/data/words.txt")
    assert "for reading only" in refusal(client, "granted", "remove", "/data/words.txt")


# Of those that exist on the machine none is read or listed, whether they are written out, climbed to or linked.
OUTSIDE = ["/etc/passwd", "/etc", "/data/" + "../" * 40 + "etc/passwd", "/data/" + "../" * 40 + "etc", "/data/out/passwd", "/data/out"]


@pytest.mark.parametrize("path", [*OUTSIDE, "words.txt", "", "/", "/database"])
def test_no_path_leads_out(client, outside, reached, path):
    link = reached.models / "granted/1/data/out"
    if not link.is_symlink():
        link.symlink_to("/etc")
    for what in ("read", "list"):
        with pytest.raises(InferenceServerException):
            reach(client, "granted", what, path)


def test_what_is_not_there_is_said(client):
    with pytest.raises(InferenceServerException, match="'/data/nothing' cannot be read: No such file"):
        reach(client, "granted", "read", "/data/nothing")
    with pytest.raises(InferenceServerException, match="'/data' is no file that can be read"):
        reach(client, "granted", "read", "/data")


def test_secrets_are_given_by_name(client):
    assert reach(client, "granted", "secret", "key") == "hunter2"
    assert reach(client, "granted", "secret", "of_the_environment") == "s3cret"
    assert "secret 'other' is not granted" in refusal(client, "granted", "secret", "other")


def test_models_are_unloaded_and_loaded(client, reached):
    assert reach(client, "granted", "index") == "other Some(true)"
    assert reach(client, "granted", "ready", "other") == "true"
    reach(client, "granted", "unload", "other")
    assert reach(client, "granted", "ready", "other") == "false"
    reach(client, "granted", "load", "other")
    history = json.loads(reached.get("/v2/debug/models/other/generations").body)["models"][0]["generations"]
    assert "plugin of granted" in [generation["requested_by"] for generation in history]
    assert reach(client, "granted", "ready", "other") == "true"
    assert reach(client, "granted", "ready", "bare") == "false", "a model that it may not call is not ready for it"
    for what in ("load", "unload"):
        assert f"it may not {what} model 'bare': list it under [grants] model_control" in refusal(client, "granted", what, "bare")


def test_a_plugin_that_asks_for_nothing_reaches_nothing(client):
    assert "is in no folder that is granted under [[grants.files]] in plugin.toml (none is)" in refusal(client, "bare", "read", "/data/words.txt")
    assert "secret 'key' is not granted" in refusal(client, "bare", "secret", "key")
    assert reach(client, "bare", "ready", "other") == "false"
    assert reach(client, "bare", "index") == ""
    refusal(client, "bare", "load", "other")


def test_a_tenants_plugin_sees_its_tenants_models(client):
    assert reach(client, "acme_reach", "ready", "acme_other") == "true"
    assert reach(client, "acme_reach", "ready", "other") == "false"


@pytest.mark.parametrize(
    "plugin_toml, expected",
    [
        ('[grants]\nsecrets = ["key", "nothing"]\n', "secrets 'nothing': the operator does not allow it"),
        ('[grants]\nmodel_control = ["bare"]\n', "model_control 'bare': the operator does not allow it"),
        ('[[grants.files]]\npath = "/etc"\nat = "/etc"\n', "files '/etc': it is outside the model's own version directory"),
        ('[grants]\ninherit_environment = ["HOME"]\n', "inherit_environment 'HOME': the operator does not allow it"),
    ],
)
def test_what_cannot_be_granted_fails_the_load(client, reached, plugin_toml, expected):
    name = "greedy"
    shutil.rmtree(reached.models / name, ignore_errors=True)
    write_reach(reached.models, name, plugin_toml)
    answer = reached.request("POST", f"/v2/repository/models/{name}/load")
    assert answer.status >= 400 and expected in json.loads(answer.body)["error"], answer.body


def test_a_tenants_ceiling_holds_for_its_models(client, reached):
    write_reach(reached.models, "acme_greedy", '[grants]\nsecrets = ["key"]\n')
    answer = reached.request("POST", "/v2/repository/models/acme_greedy/load")
    assert answer.status >= 400 and "secrets 'key': the operator does not allow it" in json.loads(answer.body)["error"]


def test_check_says_what_would_not_be_granted(binary, tmp_path):
    write_reach(tmp_path / "models", "greedy", '[grants]\nsecrets = ["key"]\n')
    checked = run_to_end(binary, "check", str(tmp_path / "models"))
    assert checked.returncode == 1 and "secrets 'key': the operator does not allow it" in checked.stdout


def test_a_broken_server_config_is_shown_with_its_line(binary, tmp_path):
    operator = tmp_path / "nereid.toml"
    operator.write_text("[plugins.grants]\nsecret = []\n")
    ended = run_to_end(binary, "serve", f"--model-repository={tmp_path}", f"--server-config={operator}")
    assert ended.returncode == 1
    assert "nereid.toml' is wrong: TOML parse error at line 2, column 1" in ended.stderr and "secret = []" in ended.stderr
