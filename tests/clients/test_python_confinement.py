"""What a Python model's process may not do unless it is allowed by name, and environments that models bring."""

import sys
import sysconfig
import tarfile

import numpy as np
import pytest
from clients import Client
from python_models import INTERPRETER, ONE_TO_ONE, execute, parameters, write_python
from repository import tensors
from server import Server
from streams import wait_until
from test_python_backend import X, ask

# Does what it is asked and says which exception that raised.
TRIES = """
def initialize(self, args):
    parameters = json.loads(args["model_config"])["parameters"]
    self.secret = parameters["secret"]["string_value"]

def execute(self, requests):
    said = []
    for request in requests:
        what = request.inputs()[0].as_numpy()[0].decode()
        try:
            getattr(self, what)()
            said.append("nothing")
        except BaseException as error:
            said.append(type(error).__name__)
    answer = lambda text: pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([text], dtype=np.object_))])
    return [answer(text) for text in said]

def reads_elsewhere(self):
    open(self.secret).read()

def reads_the_server(self):
    open(f"/proc/{os.getppid()}/environ", "rb").read()

def reads_its_folder(self):
    assert "execute" in open(__file__).read()

def writes_to_its_folder(self):
    open(os.path.join(pb_utils.get_model_dir(), "written"), "w")

def writes_elsewhere(self):
    open(self.secret + ".written", "w")

def writes_temporary_files(self):
    import tempfile
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x")

def opens_a_socket(self):
    import socket
    socket.socket()

def forks(self):
    if os.fork() == 0:
        os._exit(0)

def runs_a_program(self):
    import subprocess
    subprocess.run(["true"], check=True)

def starts_a_thread(self):
    thread = threading.Thread(target=len, args=("",))
    thread.start()
    thread.join()

def signals_the_server(self):
    os.kill(os.getppid(), 0)

def limits_the_server(self):
    import resource
    resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0))

def outlives_the_server(self):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(1, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")

def leaves_memory_behind(self):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.shmget(0, 4096, 0o1600) < 0:
        raise OSError(ctypes.get_errno(), "shmget")

def takes_all_memory(self):
    np.ones(1 << 40, np.uint8)

def fills_the_disk(self):
    path = os.path.join(os.environ["TMPDIR"], "large")
    try:
        with open(path, "wb") as file:
            for _ in range(64):
                file.write(bytes(1 << 20))
    finally:
        os.unlink(path)

def fills_shared_memory(self):
    file = os.memfd_create("large")
    try:
        for _ in range(64):
            os.write(file, bytes(1 << 20))
    finally:
        os.close(file)

def opens_many_files(self):
    kept = [open(os.devnull) for _ in range(600)]

def sees_the_environment(self):
    if "NEREID_TEST_SECRET" in os.environ:
        raise KeyError
"""

ALLOWED = {"reads_its_folder", "writes_temporary_files", "starts_a_thread", "sees_the_environment"}
DENIED = {
    "reads_elsewhere": "PermissionError",
    "reads_the_server": "PermissionError",
    "writes_to_its_folder": "PermissionError",
    "writes_elsewhere": "PermissionError",
    "opens_a_socket": "PermissionError",
    "forks": "PermissionError",
    "runs_a_program": "PermissionError",
    "signals_the_server": "PermissionError",
    "limits_the_server": "PermissionError",
    "outlives_the_server": "PermissionError",
    "leaves_memory_behind": "PermissionError",
    "takes_all_memory": "MemoryError",
    "fills_the_disk": "OSError",
    "fills_shared_memory": "OSError",
    "opens_many_files": "OSError",
}
TEXT = tensors("input", ("X", "TYPE_STRING", "1")) + tensors("output", ("Y", "TYPE_STRING", "1"))
SMALL = {"python_file_size_mib": 16, "python_open_files": 256}

# What each parameter allows, and only that.
LOOSENED = {
    "read": ({"python_read_paths": "SECRET"}, {"reads_elsewhere"}),
    "write": ({"python_write_paths": "FOLDER"}, {"reads_elsewhere", "writes_elsewhere"}),
    "network": ({"python_network": "allow"}, {"opens_a_socket"}),
    "processes": ({"python_processes": "allow"}, {"forks", "runs_a_program"}),
    "file_size": ({"python_file_size_mib": 100}, {"fills_the_disk", "fills_shared_memory"}),
    "open_files": ({"python_open_files": 1024}, {"opens_many_files"}),
}


@pytest.fixture(scope="module")
def confined_server(binary, tmp_path_factory):
    models, elsewhere = tmp_path_factory.mktemp("confined"), tmp_path_factory.mktemp("elsewhere")
    secret = elsewhere / "secret"
    secret.write_text("nobody may read this")
    write_python(models, "tries", TRIES, TEXT + parameters(secret=secret, **SMALL))
    for name, (values, _) in LOOSENED.items():
        values = {key: str(value).replace("SECRET", str(secret)).replace("FOLDER", str(elsewhere)) for key, value in values.items()}
        write_python(models, f"tries_{name}", TRIES, TEXT + parameters(secret=secret, **(SMALL | values)))
    write_python(models, "tries_off", TRIES, TEXT + parameters(secret=secret, python_confinement="off"))
    log = tmp_path_factory.mktemp("confined_server") / "log"
    with Server(binary, log, [models], INTERPRETER, environment={"NEREID_TEST_SECRET": "x"}) as running:
        yield running
        running.terminate()
        assert running.wait() == 0, running.log_text()[-4000:]


def tried(server, model: str, what: str) -> str:
    client = Client("http", server)
    try:
        return ask(client, model, np.array([what.encode()], np.object_), "BYTES")[0].decode()
    finally:
        client.close()


def has_landlock(server) -> bool:
    return "this kernel has no Landlock" not in server.log_text()


FILES = {"reads_elsewhere", "reads_the_server", "writes_to_its_folder", "writes_elsewhere"}


def expected_of(server, what: str) -> str:
    if what in FILES and not has_landlock(server):
        return "nothing"
    return DENIED.get(what, "nothing")


@pytest.mark.parametrize("what", [*DENIED, *sorted(ALLOWED)])
def test_a_model_is_confined(confined_server, what):
    assert tried(confined_server, "tries", what) == expected_of(confined_server, what)


@pytest.mark.parametrize("name", LOOSENED)
def test_each_bound_is_loosened_by_name(confined_server, name):
    _, allowed = LOOSENED[name]
    # With processes of its own a model may signal them; Landlock keeps the server out of reach.
    unclear = {"signals_the_server"} if name == "processes" else set()
    for what in DENIED.keys() - unclear:
        expected = "nothing" if what in allowed else expected_of(confined_server, what)
        assert tried(confined_server, f"tries_{name}", what) == expected, what


def test_confinement_is_turned_off_by_name(confined_server):
    for what in ("reads_elsewhere", "opens_a_socket", "forks", "signals_the_server"):
        assert tried(confined_server, "tries_off", what) == "nothing", what
    assert tried(confined_server, "tries_off", "sees_the_environment") == "KeyError"


# --- environments ---

def make_environment(folder):
    """A virtual environment with a module of its own, which finds numpy where the tests have it."""
    import venv

    venv.EnvBuilder(symlinks=True).create(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "brought_along.py").write_text("FACTOR = 3\n")
    (site / "tests.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")


def test_a_model_brings_its_environment(start_server, tmp_path):
    models = tmp_path / "models"
    body = execute("import brought_along\ny = x * brought_along.FACTOR")
    site = {"python_read_paths": sysconfig.get_paths()["purelib"]}
    write_python(models, "folder", body, ONE_TO_ONE + parameters(EXECUTION_ENV_PATH="$$TRITON_MODEL_DIRECTORY/env", **site))
    make_environment(models / "folder/env")
    server = start_server(models, INTERPRETER)
    client = Client("http", server)
    np.testing.assert_array_equal(ask(client, "folder"), X * 3)
    client.close()


def test_a_packed_environment_that_leads_out_of_itself_is_refused(start_server, tmp_path):
    models = tmp_path / "models"
    make_environment(tmp_path / "env")
    # Its interpreter is a link to another folder's.
    write_python(models, "packed", execute("import brought_along\ny = x * brought_along.FACTOR"), ONE_TO_ONE
                 + parameters(EXECUTION_ENV_PATH=tmp_path / "env.tar.gz", python_read_paths=sysconfig.get_paths()["purelib"]))
    with tarfile.open(tmp_path / "env.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "env", ".")
    flags = (INTERPRETER, "--strict-readiness=false", "--exit-on-error=false")
    server = start_server(models, *flags)
    wait_until(lambda: "leads out of it" in server.log_text())
    assert "EXECUTION_ENV_PATH is" in server.log_text()


def test_a_packed_environment_is_unpacked_once_for_all_that_use_it(start_server, tmp_path):
    models = tmp_path / "models"
    make_environment(tmp_path / "env")
    # As conda-pack does: the interpreter itself, and what it needs beside it.
    for name in ("python", "python3"):
        link = tmp_path / "env/bin" / name
        link.unlink()
    (tmp_path / "env/bin/python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "env/bin/python3").chmod(0o755)
    for link in (tmp_path / "env").rglob("*"):
        if link.is_symlink():
            link.unlink()
    with tarfile.open(tmp_path / "env.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "env", ".")
    values = {"EXECUTION_ENV_PATH": tmp_path / "env.tar.gz", "python_read_paths": sys.prefix + ":" + sys.base_prefix}
    for name in ("one", "two"):
        write_python(models, name, execute("y = x + 1"), ONE_TO_ONE + parameters(**values))
    server = start_server(models, INTERPRETER)
    client = Client("http", server)
    for name in ("one", "two"):
        np.testing.assert_array_equal(ask(client, name), X + 1)
    client.close()
    assert server.log_text().count("unpacked '") == 1
