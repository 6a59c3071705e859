"""Backends written in Python: `BACKENDS/NAME/model.py` serves every model whose configuration names the backend NAME."""

import json
import sys
import tarfile

import numpy as np
import pytest
from clients import Client
from python_models import HEAD, INTERPRETER, ONE_TO_ONE, parameters
from repository import write_model
from server import Server
from test_python_backend import X, ask
from test_python_confinement import has_landlock, make_environment
from tritonclient.utils import InferenceServerException

# Multiplies by what the model's own folder says, and tells who it is.
SCALER = HEAD + """
import scaler_table


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        if not config.as_dict().get("input"):
            config.add_input({"name": "X", "data_type": "TYPE_FP32", "dims": [-1]})
            config.add_output({"name": "Y", "data_type": "TYPE_FP32", "dims": [-1]})
        return config

    def initialize(self, args):
        self.told = args
        with open(os.path.join(pb_utils.get_model_dir(), "factor.txt")) as file:
            self.factor = scaler_table.FACTORS[file.read().strip()]
        self.tries = {
            "reads_its_folder": lambda: open(os.path.join(os.path.dirname(__file__), "scaler_table.py")).read(),
            "writes_its_folder": lambda: open(os.path.join(os.path.dirname(__file__), "written"), "w"),
            "reads_its_neighbour": lambda: open(os.path.join(os.path.dirname(__file__), "../other/model.py")).read(),
        }

    def outcome(self, attempt):
        try:
            attempt()
            return "nothing"
        except Exception as error:
            return type(error).__name__

    def execute(self, requests):
        told = {name: self.told[name] for name in ("model_name", "model_version", "model_repository")}
        told |= {"file": __file__, "module": __name__, "directory": pb_utils.get_model_dir()}
        told |= {name: self.outcome(attempt) for name, attempt in self.tries.items()}
        responses = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
            y = pb_utils.Tensor("Y", x * np.float32(self.factor))
            responses.append(pb_utils.InferenceResponse([y], parameters={"told": json.dumps(told)}))
        return responses
"""


def write_backends(folder):
    (folder / "scaler").mkdir(parents=True)
    (folder / "scaler/model.py").write_text(SCALER)
    (folder / "scaler/scaler_table.py").write_text('FACTORS = {"twice": 2, "thrice": 3}\n')
    (folder / "other").mkdir()
    (folder / "other/model.py").write_text("# somebody else's\n")


def write_scaled(models, name: str, factor: str, config: str):
    """A model without code of its own."""
    write_model(models, name, config)
    (models / name / "1/factor.txt").write_text(factor)


@pytest.fixture(scope="module")
def based_server(binary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("based")
    write_backends(folder / "backends")
    models = folder / "models"
    write_scaled(models, "by_runtime", "twice", 'backend: "scaler"\nruntime: "model.py"\n' + ONE_TO_ONE)
    write_scaled(models, "by_name", "thrice", 'backend: "scaler"\n' + ONE_TO_ONE)
    write_scaled(models, "completed", "thrice", 'backend: "scaler"\nruntime: "model.py"\n')
    write_model(models, "missing", 'backend: "nobody"\nruntime: "model.py"\n' + ONE_TO_ONE)
    write_model(models, "unknown", 'backend: "nobody"\n' + ONE_TO_ONE)
    write_model(models, "outside", 'backend: "../backends/scaler"\nruntime: "model.py"\n' + ONE_TO_ONE)
    write_model(models, "foreign", 'backend: "scaler"\nruntime: "libtriton_scaler.so"\n' + ONE_TO_ONE)
    flags = [INTERPRETER, f"--backend-directory={folder / 'backends'}", "--model-control-mode=explicit"]
    flags += [f"--load-model={name}" for name in ("by_runtime", "by_name", "completed")]
    with Server(binary, folder / "log", [models], *flags) as running:
        running.folder = folder
        yield running
        running.terminate()
        assert running.wait() == 0, running.log_text()[-4000:]


@pytest.fixture(params=["http", "grpc"])
def based_client(request, based_server):
    connected = Client(request.param, based_server)
    yield connected
    connected.close()


def told_by(server, model: str) -> dict:
    client = Client("http", server)
    response = client.infer(model, client.input("X", X, "FP32")).get_response()
    client.close()
    return json.loads(response["parameters"]["told"])


@pytest.mark.parametrize("model, factor", [("by_runtime", 2), ("by_name", 3), ("completed", 3)])
def test_models_share_the_code_of_their_backend(based_client, model, factor):
    np.testing.assert_array_equal(ask(based_client, model), X * factor)
    config = based_client.config(model)
    assert (config["backend"], config["runtime"]) == ("scaler", "model.py")
    assert [tensor["name"] for tensor in config["input"] + config["output"]] == ["X", "Y"]


def test_the_code_is_told_which_model_it_serves(based_server):
    told = told_by(based_server, "by_runtime")
    model = based_server.folder / "models/by_runtime"
    assert (told["model_name"], told["model_version"]) == ("by_runtime", "1")
    assert (told["model_repository"], told["directory"]) == (str(model), str(model / "1"))
    assert (told["file"], told["module"]) == (str(based_server.folder / "backends/scaler/model.py"), "model")


def test_the_code_reads_its_folder_and_no_other(based_server):
    told = told_by(based_server, "by_name")
    assert told["reads_its_folder"] == "nothing"
    if has_landlock(based_server):
        assert (told["writes_its_folder"], told["reads_its_neighbour"]) == ("PermissionError", "PermissionError")
        assert not (based_server.folder / "backends/scaler/written").exists()


@pytest.mark.parametrize(
    "model, expected",
    [
        ("missing", "unable to find Python backend based backend library 'model.py' for model 'missing', searched: '{}/nobody/model.py'"),
        ("unknown", "unable to find backend 'nobody' for model 'unknown'"),
        ("outside", "model 'outside': backend '../backends/scaler' is not the name of a folder"),
        ("foreign", "uses the configuration field 'runtime'"),
    ],
)
def test_code_that_is_not_there_is_refused_with_the_place(based_client, based_server, model, expected):
    with pytest.raises(InferenceServerException) as refused:
        based_client.raw.load_model(model)
    assert expected.format(based_server.folder / "backends") in refused.value.message()


def test_a_backend_brings_the_environment_of_its_models(start_server, tmp_path):
    write_backends(tmp_path / "backends")
    scaler, environment = tmp_path / "backends/scaler", tmp_path / "env"
    make_environment(environment)
    (scaler / "scaler_table.py").write_text("from brought_along import FACTOR\nFACTORS = {'twice': 2 * FACTOR}\n")
    for link in [link for link in environment.rglob("*") if link.is_symlink()]:
        link.unlink()
    interpreter = f"""#!/bin/sh
for site in "${{0%/bin/*}}"/lib/python*/site-packages; do PYTHONPATH="$PYTHONPATH:$site"; done
export PYTHONPATH
exec {sys.executable} "$@"
"""
    (environment / "bin/python3").write_text(interpreter)
    (environment / "bin/python3").chmod(0o755)
    with tarfile.open(scaler / "pb_exec_env_model.py.tar.gz", "w:gz") as archive:
        archive.add(environment, ".")
    reads = parameters(python_read_paths=f"{sys.prefix}:{sys.base_prefix}")
    write_scaled(tmp_path / "models", "m", "twice", 'backend: "scaler"\n' + ONE_TO_ONE + reads)
    server = start_server(tmp_path / "models", f"--backend-directory={tmp_path / 'backends'}")
    client = Client("http", server)
    np.testing.assert_array_equal(ask(client, "m"), X * 6)
    client.close()
