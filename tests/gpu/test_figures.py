"""What the ways of a tensor to a model on the GPU and back cost: the message, system and CUDA shared memory.

Figures alone: 8 MiB in and 8 MiB out, of a TorchScript module that adds one, by one client at a time. The raw copies of
CUDA, from ordinary and from page-locked memory, stand beside them.
"""

import time

import numpy as np
import pytest
import torch
from conftest import Server
from repository import tensors, write_model
from tritonclient import grpc, http
from tritonclient.utils import cuda_shared_memory, shared_memory

COUNT = 2 << 20
BYTES = COUNT * 4
ROUNDS = 40


class AddOne(torch.nn.Module):
    def forward(self, INPUT0: torch.Tensor) -> torch.Tensor:
        return INPUT0 + 1


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = tmp_path_factory.mktemp("figures")
    ends = tensors("input", ("INPUT0", "TYPE_FP32", "-1")) + tensors("output", ("OUTPUT0", "TYPE_FP32", "-1"))
    write_model(models, "add", f'backend: "pytorch"\nmax_batch_size: 0\n{ends}instance_group [ {{ kind: KIND_GPU count: 1 }} ]\n')
    torch.jit.script(AddOne()).save(str(models / "add/1/model.pt"))
    with Server(models, "--allow-client-shm=true") as running:
        yield running


def median_ms(work) -> float:
    for _ in range(5):
        work()
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return sorted(taken)[ROUNDS // 2] * 1e3


@pytest.mark.parametrize("module", [http, grpc], ids=["http", "grpc"])
def test_ways_of_a_tensor(server, module):
    name = module.__name__.rsplit(".", 1)[-1]
    client = module.InferenceServerClient(server.http_url if module is http else server.grpc_url)
    values = np.random.default_rng(3).standard_normal(COUNT).astype(np.float32)

    def message():
        tensor = module.InferInput("INPUT0", [COUNT], "FP32")
        tensor.set_data_from_numpy(values)
        return client.infer("add", [tensor], outputs=[module.InferRequestedOutput("OUTPUT0")]).as_numpy("OUTPUT0")

    assert np.array_equal(message(), values + 1)
    print(f"FIGURE way_{name}_message {median_ms(message):.3f} ms")
    request = module.InferInput("INPUT0", [COUNT], "FP32")
    request.set_shared_memory("in", BYTES)
    wanted = module.InferRequestedOutput("OUTPUT0")
    wanted.set_shared_memory("out", BYTES)

    system = [shared_memory.create_shared_memory_region(part, f"/nereid_figures_{part}", BYTES) for part in ("in", "out")]
    for part in ("in", "out"):
        client.register_system_shared_memory(part, f"/nereid_figures_{part}", BYTES)
    shared_memory.set_shared_memory_region(system[0], [values])
    print(f"FIGURE way_{name}_system_shared_memory {median_ms(lambda: client.infer('add', [request], outputs=[wanted])):.3f} ms")
    assert np.array_equal(shared_memory.get_contents_as_numpy(system[1], np.float32, [COUNT]), values + 1)
    client.unregister_system_shared_memory()
    for region in system:
        shared_memory.destroy_shared_memory_region(region)

    cuda = [cuda_shared_memory.create_shared_memory_region(part, BYTES, 0) for part in ("in", "out")]
    for part, region in zip(("in", "out"), cuda):
        client.register_cuda_shared_memory(part, cuda_shared_memory.get_raw_handle(region), 0, BYTES)
    cuda_shared_memory.set_shared_memory_region(cuda[0], [values])
    print(f"FIGURE way_{name}_cuda_shared_memory {median_ms(lambda: client.infer('add', [request], outputs=[wanted])):.3f} ms")
    assert np.array_equal(cuda_shared_memory.get_contents_as_numpy(cuda[1], np.float32, [COUNT]), values + 1)
    client.unregister_cuda_shared_memory()
    for region in cuda:
        cuda_shared_memory.destroy_shared_memory_region(region)


def test_raw_copies():
    size = 64 << 20
    ordinary, locked = torch.ones(size, dtype=torch.uint8), torch.ones(size, dtype=torch.uint8).pin_memory()
    device = torch.ones(size, dtype=torch.uint8, device="cuda")

    def rate(work) -> float:
        def synchronised():
            work()
            torch.cuda.synchronize()

        return size / median_ms(synchronised) / 1e6

    print(f"FIGURE raw_copy_to_device {rate(lambda: device.copy_(ordinary)):.1f} GB/s")
    print(f"FIGURE raw_copy_to_device_from_pinned {rate(lambda: device.copy_(locked, non_blocking=True)):.1f} GB/s")
    print(f"FIGURE raw_copy_to_host_pageable {rate(lambda: ordinary.copy_(device)):.1f} GB/s")
    print(f"FIGURE raw_copy_to_host_pinned {rate(lambda: locked.copy_(device, non_blocking=True)):.1f} GB/s")
