"""Loading and unloading gives the memory back: models of every kind come and go, and the server does not grow.

What is measured is the resident memory after each cycle; what is judged is the slope of a straight line through the last
three quarters of the cycles, so that caches and pools may fill first. 4 KiB per cycle is what is allowed: it is less than
a configuration takes, so a leak of anything that belongs to a model would show; and one step of 2 MiB, the unit in which
allocator and kernel take memory, in the middle of 1125 cycles looks like 2.7. The slopes are printed with `pytest -s`.

What compiling a plugin took comes back too: a server that compiled one is compared with a server that found it compiled.
"""

import os
import shutil

import numpy as np
import pytest
from clients import Client
from repository import identity, write_ensemble_of, write_model, write_onnx_models
from server import ROOT, Server
from streams import wait_until
from tritonclient.utils import InferenceServerException

# 20 seconds in all on two processors.
CYCLES = int(os.environ.get("NEREID_MEMORY_CYCLES", "1500"))
SLOPE_KIB_MAX = 4.0
PAGE_KIB = 4

# Python's interpreter has functions for which the compiler takes 60 MiB on each processor.
COMPILED_MORE_MIB_MAX = 32

ONE = np.ones(1, np.float32)


@pytest.fixture(scope="module")
def control(binary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    write_onnx_models(folder)
    write_model(folder, "plugin", identity().replace('"identity"', '"wasm"'))
    (folder / "plugin/1/model.wasm").write_bytes((ROOT / "target/guests/identity.wasm").read_bytes())
    write_model(folder, "member", identity())
    write_ensemble_of(folder, "ensemble", "member")
    (folder / "failing/1").mkdir(parents=True)
    (folder / "failing/1/model.onnx").write_bytes(b"no model at all" * 1000)
    log = tmp_path_factory.mktemp("memory_server") / "log"
    with Server(binary, log, [folder], "--model-control-mode=explicit") as server:
        client = Client("grpc", server)
        client.server = server
        yield client
        client.close()


def resident_kib(server) -> float:
    pages = int(open(f"/proc/{server.process.pid}/statm").read().split()[1])
    return pages * PAGE_KIB


def fit(samples: list[float]) -> tuple[float, float]:
    """Slope in KiB per cycle and its standard error."""
    x, y = np.arange(len(samples), dtype=float), np.array(samples)
    (slope, offset), covariance = np.polyfit(x, y, 1, cov=True)
    return float(slope), float(np.sqrt(covariance[0, 0]))


def cycle_onnx(client):
    client.raw.load_model("add_sub")
    client.raw.unload_model("add_sub")


def cycle_plugin(client):
    client.raw.load_model("plugin")
    assert client.identity("plugin", ONE)[0] == 1
    client.raw.unload_model("plugin")


def cycle_ensemble(client):
    client.raw.load_model("ensemble")
    assert client.identity("ensemble", ONE)[0] == 1
    client.raw.unload_model("ensemble", unload_dependents=True)


def cycle_failing(client):
    with pytest.raises(InferenceServerException):
        client.raw.load_model("failing")


def cycle_stranger(client):
    cycle_stranger.asked += 1
    with pytest.raises(InferenceServerException):
        client.raw.load_model(f"stranger_{cycle_stranger.asked}")


cycle_stranger.asked = 0


def cycle_files(client):
    guest = (ROOT / "target/guests/identity.wasm").read_bytes()
    cycle_files.made += 1
    name = f"made_{cycle_files.made}"
    config = (
        '{"backend":"wasm","input":[{"name":"INPUT0","data_type":"TYPE_FP32","dims":[-1]}],'
        '"output":[{"name":"OUTPUT0","data_type":"TYPE_FP32","dims":[-1]}]}'
    )
    client.raw.load_model(name, config=config, files={"file:1/model.wasm": guest})
    client.raw.unload_model(name)


cycle_files.made = 0

CYCLES_OF = [cycle_onnx, cycle_plugin, cycle_ensemble, cycle_failing, cycle_stranger, cycle_files]


@pytest.mark.parametrize("cycle", CYCLES_OF, ids=lambda cycle: cycle.__name__.removeprefix("cycle_"))
def test_memory_comes_back(control, cycle):
    samples = []
    for _ in range(CYCLES):
        cycle(control)
        samples.append(resident_kib(control.server))
    judged = samples[len(samples) // 4 :]
    slope, error = fit(judged)
    print(f"\n{cycle.__name__}: {slope:+.2f} ± {error:.2f} KiB per cycle over {len(judged)} cycles, {judged[-1]:.0f} KiB")
    assert slope < SLOPE_KIB_MAX, samples[:: len(samples) // 20]


def test_what_compiling_took_comes_back(binary, tmp_path):
    models = tmp_path / "models"
    write_model(models, "python", identity().replace('"identity"', '"wasm"'))
    shutil.copy(ROOT / "target/guests/contract_python.wasm", models / "python/1/model.wasm")
    flags = [models], f"--plugin-cache-directory={tmp_path}/cache"
    with Server(binary, tmp_path / "compiling.log", *flags) as compiling:
        with Server(binary, tmp_path / "finding.log", *flags) as finding:
            found_mib = resident_kib(finding) / 1024

        def has_come_back() -> bool:
            compiling.get("/v2/models/python")  # the allocator gives back, after a while, when it is asked for something
            return resident_kib(compiling) / 1024 < found_mib + COMPILED_MORE_MIB_MAX

        wait_until(has_come_back)
