"""Servers for the cases: one for each set of flags and models, started when the first case needs it."""

import pathlib
import shutil
import tempfile
import tomllib

from server import Server

COMMON_MODELS = pathlib.Path(__file__).resolve().parent / "models.toml"


class Servers:
    def __init__(self, binary: pathlib.Path):
        self.binary = binary
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="nereid-conformance-"))
        self.started: dict[str, Server] = {}

    def running(self, case_file) -> Server:
        """The server of a file. Files without flags and models of their own share one."""
        key = case_file.path.stem if case_file.flags or case_file.models else "common"
        if key not in self.started:
            folder = self.folder / key
            write_models(folder / "models", case_file)
            flags = [flag.replace("{folder}", str(folder)) for flag in case_file.flags]
            self.started[key] = Server(self.binary, folder / "log", [folder / "models"], *flags)
        server = self.started[key]
        assert server.process.poll() is None, f"the server ended:\n{server.log_text()[-4000:]}"
        return server

    def stop(self):
        for server in self.started.values():
            server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


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
