"""Makes a pytest suite of the case files: every `cases/*.toml` is collected, every case once per protocol that can ask it.

`cargo xtask clients tests/conformance` builds the server and runs this; README.md beside this file explains the format.
"""

import os
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "clients")]

import cases  # noqa: E402
import grpc_side  # noqa: E402
import http_side  # noqa: E402
from matching import Mismatch  # noqa: E402
from servers import Servers, check_memory  # noqa: E402

SIDES = {"http": http_side, "grpc": grpc_side}


def pytest_collect_file(parent, file_path: pathlib.Path):
    if file_path.suffix == ".toml" and file_path.parent == HERE / "cases":
        return CaseFile.from_parent(parent, path=file_path)
    return None


def pytest_configure(config):
    binary = pathlib.Path(os.environ.get("NEREID_SERVER", HERE.parents[1] / "target/debug/nereid"))
    config.stash[SERVERS] = Servers(binary)


def pytest_unconfigure(config):
    if servers := config.stash.get(SERVERS, None):
        servers.stop()


SERVERS = pytest.StashKey[Servers]()


class CaseFile(pytest.File):
    def collect(self):
        case_file = cases.read(self.path)
        for case in case_file.cases:
            for protocol in case.protocols:
                name = f"{case.title} [{protocol}]"
                yield CaseItem.from_parent(self, name=name, case=case, case_file=case_file, protocol=protocol)


class CaseItem(pytest.Item):
    """One case over one protocol."""

    def __init__(self, *, case: cases.Case, case_file: cases.CaseFile, protocol: str, **rest):
        super().__init__(**rest)
        self.case, self.case_file, self.protocol = case, case_file, protocol
        if case.deviation:
            self.add_marker(pytest.mark.xfail(reason=case.deviation, strict=True))

    def runtest(self):
        server = self.config.stash[SERVERS].running(self.case_file)
        for step in self.case.steps:
            if step.is_for(self.protocol):
                SIDES[self.protocol].run(server, step.ask, step.expect[self.protocol])
                check_memory(step.expect[self.protocol].get("memory", {}))

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, (Mismatch, cases.BadCase)):
            return f"{self.path.name}, \"{self.case.title}\", over {self.protocol}:\n{excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, self.case.line, f"{self.path.stem}: {self.name}"
