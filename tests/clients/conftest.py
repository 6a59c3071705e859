"""Servers and clients that the tests share. The binary comes from `cargo xtask clients` in NEREID_SERVER."""

import os
import pathlib
import sys
import threading

import pytest
from clients import PROTOCOLS, Client
from repository import write_repository
from server import ROOT, Server


def pytest_sessionfinish(session, exitstatus):
    session.config.ended_with = int(exitstatus)


def pytest_unconfigure(config):
    """The threads of a test that failed may wait for what never comes; Python would wait for them without a word."""
    sys.stdout.flush()
    left = [thread.name for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()]
    if left and hasattr(config, "ended_with"):
        print(f"not waiting for threads that tests have left behind: {', '.join(left)}", file=sys.stderr, flush=True)
        os._exit(config.ended_with)


@pytest.fixture(scope="session")
def binary() -> pathlib.Path:
    path = pathlib.Path(os.environ.get("NEREID_SERVER", ROOT / "target/debug/nereid"))
    assert path.is_file(), f"no server at {path}: run this suite with `cargo xtask clients`"
    return path


@pytest.fixture(scope="session")
def repository(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("models")
    write_repository(folder)
    return folder


@pytest.fixture(scope="session")
def server(binary, repository, tmp_path_factory):
    """Serves the repository of the suite; must still be there, and drain cleanly, when all tests are through."""
    with Server(binary, tmp_path_factory.mktemp("server") / "log", [repository]) as running:
        yield running
        assert running.process.poll() is None, f"the server died during the tests:\n{running.log_text()[-4000:]}"
        running.terminate()
        assert running.wait() == 0, running.log_text()[-4000:]


@pytest.fixture(scope="session")
def demo_server(binary, tmp_path_factory):
    """Serves model_repository, as `cargo xtask demo` does."""
    with Server(binary, tmp_path_factory.mktemp("demo") / "log", [ROOT / "model_repository"]) as running:
        yield running


@pytest.fixture(params=PROTOCOLS)
def client(request, server):
    connected = Client(request.param, server)
    yield connected
    connected.close()


@pytest.fixture
def start_server(binary, tmp_path):
    """Starts servers of a test's own; all are ended with it."""
    started = []

    def start(*arguments, **options) -> Server:
        repositories = [argument for argument in arguments if isinstance(argument, pathlib.Path)]
        flags = [argument for argument in arguments if isinstance(argument, str)]
        started.append(Server(binary, tmp_path / f"log{len(started)}", repositories, *flags, **options))
        return started[-1]

    yield start
    for running in started:
        running.__exit__()
