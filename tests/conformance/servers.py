"""Servers for the cases: one for each set of flags and models, started when the first case needs it."""

import pathlib
import shutil
import tempfile
import tomllib

from matching import Mismatch, expect_equal
from server import Server

COMMON_MODELS = pathlib.Path(__file__).resolve().parent / "models.toml"


class Servers:
    def __init__(self, binary: pathlib.Path):
        self.binary = binary
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="nereid-conformance-"))
        self.started: dict[str, Server] = {}
        # Why a server could not be started, for all cases that need it.
        self.failed: dict[str, str] = {}
        self.objects: list[pathlib.Path] = []

    def running(self, case_file) -> Server:
        """The server of a file. Files without flags and models of their own share one."""
        key = case_file.path.stem if case_file.flags or case_file.models else "common"
        if failure := self.failed.get(key):
            raise Mismatch(failure)
        if key not in self.started:
            folder = self.folder / key
            write_models(folder / "models", case_file)
            for name, digits in case_file.shared_memory.items():
                self.objects.append(memory_object(name))
                memory_object(name).write_bytes(bytes.fromhex(digits))
            flags = [flag.replace("{folder}", str(folder)) for flag in case_file.flags]
            try:
                self.started[key] = Server(self.binary, folder / "log", [folder / "models"], *flags)
            except AssertionError as error:
                self.failed[key] = str(error)
                raise Mismatch(str(error)) from None
        server = self.started[key]
        if server.process.poll() is not None:
            raise Mismatch(f"the server ended:\n{server.log_text()[-4000:]}")
        return server

    def stop(self):
        for server in self.started.values():
            server.kill()
        for path in self.objects:
            path.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def memory_object(key: str) -> pathlib.Path:
    """Where Linux shows an object of POSIX shared memory."""
    return pathlib.Path("/dev/shm") / key.removeprefix("/")


def check_memory(expected: dict[str, str]):
    for key, digits in expected.items():
        expect_equal(f"the memory '{key}'", memory_object(key).read_bytes().hex(), digits.replace(" ", ""))


def write_models(folder: pathlib.Path, case_file):
    models, files = case_file.models, case_file.files
    if not models:
        common = tomllib.loads(COMMON_MODELS.read_text())
        models, files = common["models"], common["files"] | files
    for name, config in models.items():
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(config)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
