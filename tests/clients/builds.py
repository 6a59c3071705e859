"""Builds of one plugin, tests/guests/builds, that answer with their number: the component with other bytes in it."""

import pathlib

from repository import tensors, write_model
from server import ROOT

BUILD, MARK = (ROOT / "target/guests/builds.wasm"), b"BUILD:fine:00001"
TENSORS = tensors("input", ("X", "TYPE_INT32", "1"))
TENSORS += tensors("output", ("BUILD", "TYPE_INT32", "1"), ("STEP", "TYPE_INT32", "1"))
CONFIG = 'backend: "wasm"\nmax_batch_size: 0\ninstance_group [ { count: 2 } ]\n' + TENSORS


def build(number: int, kind: str = "fine") -> bytes:
    component = BUILD.read_bytes()
    assert component.count(MARK) == 1
    return component.replace(MARK, f"BUILD:{kind}:{number:05}".encode())


def put(folder: pathlib.Path, component: bytes):
    """Puts a build in place at once, as a deployment does it."""
    (folder / "1").mkdir(parents=True, exist_ok=True)
    (folder / "model.new").write_bytes(component)
    (folder / "model.new").rename(folder / "1/model.wasm")


def write_builds(models: pathlib.Path, name: str, more: str = ""):
    """A model of the first build."""
    write_model(models, name, CONFIG + more)
    put(models / name, build(1))
