"""Loads that bring a configuration or files, and what a reload leaves alone, with the real clients."""

import base64
import json
import os
import pathlib
import shutil
import time

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import identity, write_model
from server import ROOT
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

ONE = np.ones(1, np.float32)
FOUR_INSTANCES = {"backend": "identity", "instance_group": [{"count": 4, "kind": "kind_cpu"}]}
FAILED = "failed to load 'model', failed to poll from model repository"


@pytest.fixture(params=PROTOCOLS)
def control(request, start_server, tmp_path):
    """A client, the folder of a repository with the identity model `model`, and where the server keeps what it is sent."""
    folder, scratch = tmp_path / "models", tmp_path / "scratch"
    scratch.mkdir()
    write_model(folder, "model", identity())
    age(folder)
    server = start_server(
        folder, "--model-control-mode=explicit", "--load-model=model", environment={"TMPDIR": str(scratch)}
    )
    client = Client(request.param, server)
    client.server = server
    yield client, folder, scratch
    client.close()


def age(folder: pathlib.Path):
    """Files as an operator has them: written long ago."""
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))


def kept(scratch: pathlib.Path) -> list[pathlib.Path]:
    """Directories of files that were sent; others leave things in the folder for temporary files too."""
    return list(scratch.glob("nereid-model-*"))


def config_of(**fields) -> str:
    tensors = {
        "input": [{"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [-1]}],
        "output": [{"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [-1]}],
    }
    return json.dumps(tensors | fields)


def instance_count(client: Client) -> int:
    return int(client.config("model")["instance_group"][0]["count"])


def executions(client: Client) -> int:
    return int(client.statistics("model").get("execution_count", 0))


def test_a_configuration_is_sent_stays_and_goes_when_the_file_is_touched(control):
    client, folder, _ = control
    client.raw.load_model("model", config=config_of(**FOUR_INSTANCES))
    assert instance_count(client) == 4
    client.raw.load_model("model")
    assert instance_count(client) == 4
    (folder / "model/config.pbtxt").touch()
    client.raw.load_model("model")
    assert instance_count(client) == 1
    client.raw.load_model("model", config=config_of(**FOUR_INSTANCES))
    client.raw.unload_model("model")
    client.raw.load_model("model")
    assert instance_count(client) == 1


def test_instances_change_in_place(control):
    client, _, _ = control
    client.identity("model", ONE)
    assert executions(client) == 1
    client.raw.load_model("model", config=config_of(**FOUR_INSTANCES))
    client.identity("model", ONE)
    assert executions(client) == 2, "the same generation counts on"
    client.raw.load_model("model", config=config_of(backend="identity", max_batch_size=2))
    assert executions(client) == 0, "another configuration is another generation"


def test_a_configuration_that_is_none_is_explained(control):
    client, _, _ = control
    for config, why in (
        ("{", "Invalid config override: "),
        ('{"max_batchsize": 1}', "Invalid config override: field 'max_batchsize'"),
        (config_of(backend="identity", name="other"), "unexpected directory name 'model' for model 'other'"),
        (config_of(backend="identity", default_model_filename="/etc/passwd"), "must stay inside the version's directory"),
    ):
        with pytest.raises(InferenceServerException) as refused:
            client.raw.load_model("model", config=config)
        assert f"{FAILED}: " in refused.value.message() and why in refused.value.message()
        assert client.identity("model", ONE)[0] == 1


def test_files_take_the_place_of_the_models_directory_until_the_next_load(control):
    client, folder, scratch = control
    add_sub = (ROOT / "tests/models/add_sub.onnx").read_bytes()
    with pytest.raises(InferenceServerException, match=FAILED):
        client.raw.load_model("model", files={"file:1/model.onnx": add_sub})
    assert client.identity("model", ONE)[0] == 1
    client.raw.load_model("model", config='{"backend":"onnxruntime"}', files={"file:3/model.onnx": add_sub})
    assert client.metadata("model")["versions"] == ["3"]
    assert len(list(scratch.glob("*/3/model.onnx"))) == 1
    client.raw.load_model("model")
    assert client.metadata("model")["versions"] == ["1"] and client.identity("model", ONE)[0] == 1
    assert not kept(scratch)


def test_files_alone_make_a_model_that_leaves_nothing_behind(control):
    client, _, scratch = control
    guest = (ROOT / "target/guests/identity.wasm").read_bytes()
    client.raw.load_model("new", config=config_of(backend="wasm"), files={"file:1/model.wasm": guest})
    assert client.identity("new", ONE)[0] == 1
    (made,) = kept(scratch)
    assert made.stat().st_mode & 0o777 == 0o700, "nobody else may read a client's files"
    client.raw.unload_model("new")
    while kept(scratch):  # the last request may still be leaving
        client.index()
    assert "new" not in client.index()
    with pytest.raises(InferenceServerException, match="failed to load 'new', failed to poll from model repository"):
        client.raw.load_model("new")


def test_a_path_that_leads_out_of_the_directory_is_refused(control):
    client, folder, scratch = control
    outside = scratch.parent / "outside.txt"
    for path in ("../outside.txt", "1/../../outside.txt", str(outside), "../../../../../../root/new_dir/test.txt", ".."):
        with pytest.raises(InferenceServerException, match="must stay within model directory"):
            client.raw.load_model("model", config='{"backend":"identity"}', files={f"file:{path}": b"no"})
    assert not outside.exists() and not kept(scratch)
    assert client.identity("model", ONE)[0] == 1


def test_parameters_have_names_and_types(control):
    client, _, _ = control
    if client.protocol == "http":
        for parameters, expected in (
            ({"colour": "red"}, "unexpected error on creating Triton parameter"),
            ({"file:1/m": "*", "config": "{}"}, "load parameter 'file:1/m' has invalid content, expected base64"),
            ({"config": {}}, "Unable to parse 'config'"),
        ):
            body = json.dumps({"parameters": parameters}).encode()
            answer = client.server.request("POST", "/v2/repository/models/model/load", body)
            assert answer.status in (400, 500) and expected in json.loads(answer.body)["error"]
        return
    for name, value, expected in (
        ("colour", {"string_param": "red"}, "unrecognized load parameter 'colour'."),
        ("config", {"bytes_param": b"{}"}, "invalid value type for load parameter 'config', expected string_param."),
        ("file:1/m", {"string_param": ""}, "invalid value type for load parameter 'file:1/m', expected bytes_param."),
    ):
        request = service_pb2.RepositoryModelLoadRequest(model_name="model")
        request.parameters[name].CopyFrom(service_pb2.ModelRepositoryParameter(**value))
        with pytest.raises(Exception, match=expected):
            client.raw._client_stub.RepositoryModelLoad(request)


def test_base64_with_line_ends_is_understood(start_server, tmp_path):
    write_model(tmp_path / "models", "model", identity())
    server = start_server(tmp_path / "models", "--model-control-mode=explicit")
    guest = (ROOT / "target/guests/identity.wasm").read_bytes()
    parameters = {"config": config_of(backend="wasm"), "file:1/model.wasm": base64.encodebytes(guest).decode()}
    answer = server.request("POST", "/v2/repository/models/new/load", json.dumps({"parameters": parameters}).encode())
    assert answer.status == 200, answer


def test_only_the_versions_that_changed_are_loaded(start_server, tmp_path):
    folder = tmp_path / "models"
    policy = "version_policy { specific { versions: [ 1, 2 ] } }\n"
    write_model(folder, "model", identity() + policy, versions=("1", "2", "3"))
    for version in ("1", "2", "3"):
        (folder / "model" / version / "weights").touch()
    age(folder)
    server = start_server(folder, "--model-control-mode=explicit", "--load-model=model")
    client = Client("grpc", server)
    loads = lambda: [server.log_text().count(f'"loading: model:{version}"') for version in range(1, 5)]
    assert loads() == [1, 1, 0, 0]
    (folder / "model/2/weights").touch()
    shutil.copytree(folder / "model/3", folder / "model/4")
    write_model(folder, "model", identity() + policy.replace("1, 2", "1, 2, 3, 4"))
    client.raw.load_model("model")
    assert loads() == [1, 2, 1, 1]
    time.sleep(0.05)  # later than the tick in which the copy above was written
    (folder / "model/labels.txt").touch()
    client.raw.load_model("model")
    assert loads() == [2, 3, 2, 2]
    age(folder / "model")
    client.raw.load_model("model")
    before = loads()
    write_model(folder, "model", identity() + policy.replace("1, 2", "4"))
    client.raw.load_model("model")
    assert loads() == before
    assert [client.raw.is_model_ready("model", str(version)) for version in range(1, 5)] == [False, False, False, True]
    client.close()
