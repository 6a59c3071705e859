"""What the tests on a GPU share: the devices of the machine, and a server. `tests/gpu/run` starts them, where there is one."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/clients"))

from server import Server as Process  # noqa: E402

BINARY = pathlib.Path(os.environ.get("NEREID_SERVER", ROOT / "target/debug/nereid"))


def devices() -> list[str]:
    """The GPUs as nvidia-smi lists them."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]


DEVICES = devices()


class Server(Process):
    """A server over one repository, as a context manager; NEREID_GPU_FLAGS has more flags for all of them."""

    def __init__(self, repository: pathlib.Path, *flags: str, environment: dict[str, str] | None = None):
        log = repository.parent / f"{repository.name}.log"
        more = os.environ.get("NEREID_GPU_FLAGS", "").split()
        super().__init__(BINARY, log, [repository], *flags, *more, environment=environment)

    http = property(lambda self: self.http_url)
    grpc = property(lambda self: self.grpc_url)

    def log_of(self, part: str) -> list[str]:
        """The lines of the log that contain this."""
        return [line for line in self.log_text().splitlines() if part in line]


@pytest.fixture
def models(tmp_path) -> pathlib.Path:
    """An empty repository."""
    folder = tmp_path / "models"
    folder.mkdir()
    return folder
