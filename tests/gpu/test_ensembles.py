"""Ensembles across places: what two steps on one device pass to each other is not copied to the host.

The server counts the bytes that it copies in each direction; the counts before and after a request tell what it cost. The
step on the processor is a TorchScript module, because an identity model passes on what it is given wherever that is.
"""

import collections

import numpy as np
import pytest
from conftest import Server
from repository import identity, tensors, write_model
from tritonclient import http

ON_GPU = "max_batch_size: 0\ninstance_group [ { kind: KIND_GPU count: 1 } ]\n"
VALUES = np.arange(1 << 20, dtype=np.float32)


def write_chain(models, name: str, places: tuple[str, ...]):
    """INPUT0 through one identity model after the other."""
    names = ["INPUT0", *(f"t{number}" for number in range(1, len(places))), "OUTPUT0"]
    steps = (
        f'{{ model_name: "{place}" model_version: -1 input_map {{ key: "INPUT0" value: "{source}" }} '
        f'output_map {{ key: "OUTPUT0" value: "{target}" }} }}'
        for place, source, target in zip(places, names, names[1:])
    )
    ends = tensors("input", ("INPUT0", "TYPE_FP32", "-1")) + tensors("output", ("OUTPUT0", "TYPE_FP32", "-1"))
    write_model(models, name, f'platform: "ensemble"\nmax_batch_size: 0\n{ends}ensemble_scheduling {{ step [ {", ".join(steps)} ] }}\n')


def write_processor_model(models, name: str):
    """What reads its input on the processor."""
    torch = pytest.importorskip("torch", reason="the step on the processor is made by PyTorch, which is not here")

    class Identity(torch.nn.Module):
        def forward(self, INPUT0: torch.Tensor) -> torch.Tensor:
            return INPUT0

    config = identity(more="max_batch_size: 0\ninstance_group [ { kind: KIND_CPU count: 1 } ]\n")
    write_model(models, name, config.replace('backend: "identity"', 'backend: "pytorch"'))
    torch.jit.script(Identity()).save(str(models / name / "1/model.pt"))


CHAINS = {
    "one_step": ("gpu",),
    "three_steps": ("gpu", "gpu", "gpu"),
    "mixed": ("cpu", "gpu", "gpu", "cpu", "gpu"),
}


def copied(server) -> tuple[float, float]:
    """Bytes to the devices and to the host so far."""
    found = collections.Counter()
    for line in server.metrics().splitlines():
        if line.startswith("nereid_gpu_to_"):
            found[line.split("{")[0]] += float(line.rsplit(" ", 1)[1])
    return found["nereid_gpu_to_device_bytes_total"], found["nereid_gpu_to_host_bytes_total"]


@pytest.mark.parametrize("name, times", [("one_step", (1, 1)), ("three_steps", (1, 1)), ("mixed", (2, 2))])
def test_tensors_are_copied_where_the_place_changes(models, name, times):
    write_model(models, "gpu", identity(more=ON_GPU))
    if "cpu" in CHAINS[name]:
        write_processor_model(models, "cpu")
    write_chain(models, name, CHAINS[name])
    with Server(models) as server:
        check_copies(server, name, times)


def check_copies(server, name, times):
    client = http.InferenceServerClient(server.http_url)
    tensor = http.InferInput("INPUT0", [VALUES.size], "FP32")
    tensor.set_data_from_numpy(VALUES)
    before = copied(server)
    answer = client.infer(name, [tensor]).as_numpy("OUTPUT0")
    assert np.array_equal(answer, VALUES)
    after = copied(server)
    assert tuple((now - then) / VALUES.nbytes for then, now in zip(before, after)) == times
