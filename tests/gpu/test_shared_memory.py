"""CUDA shared memory: two processes, the server and this one, use the same memory of a device.

Inputs are read and outputs written in place by models on the processor and on the device; what a client does wrong is its
own error. The client is tritonclient with its own CUDA utilities.
"""

import multiprocessing
import os
import subprocess

import numpy as np
import pytest
from conftest import Server
from repository import identity, write_model
from tritonclient import grpc, http
from tritonclient.utils import InferenceServerException, cuda_shared_memory

BYTES = 4 << 20


@pytest.fixture
def server(models):
    write_model(models, "echo", identity())
    write_model(models, "texts", identity("TYPE_STRING"))
    cached = "max_batch_size: 0\nresponse_cache { enable: true }\n"
    write_model(models, "cached", identity(more=cached))
    with Server(models, "--allow-client-shm=true", "--cache-config=local,size=8388608") as running:
        yield running


@pytest.fixture(params=[http, grpc], ids=["http", "grpc"])
def client(request, server):
    module = request.param
    url = server.http_url if module is http else server.grpc_url
    connected = module.InferenceServerClient(url)
    connected.module = module
    yield connected
    connected.close()


class Region:
    """Memory that this process allocates and the server maps."""

    def __init__(self, client, name: str, size: int = BYTES):
        self.client, self.name, self.size = client, name, size
        self.handle = cuda_shared_memory.create_shared_memory_region(name, size, 0)
        client.register_cuda_shared_memory(name, cuda_shared_memory.get_raw_handle(self.handle), 0, size)

    def write(self, values: np.ndarray):
        cuda_shared_memory.set_shared_memory_region(self.handle, [values])

    def read(self, shape) -> np.ndarray:
        return cuda_shared_memory.get_contents_as_numpy(self.handle, np.float32, list(shape))

    def free(self):
        self.client.unregister_cuda_shared_memory(self.name)
        cuda_shared_memory.destroy_shared_memory_region(self.handle)


@pytest.fixture
def regions(client):
    made = [Region(client, name) for name in ("in", "out")]
    yield made
    for region in made:
        region.free()


def shared_input(client, name: str, count: int, size: int, offset: int = 0, data_type: str = "FP32"):
    tensor = client.module.InferInput("INPUT0", [count], data_type)
    tensor.set_shared_memory(name, size, offset)
    return tensor


def shared_output(client, name: str, size: int, offset: int = 0):
    tensor = client.module.InferRequestedOutput("OUTPUT0")
    tensor.set_shared_memory(name, size, offset)
    return tensor


@pytest.mark.parametrize("model", ["echo", "cached"])
def test_tensors_go_through_the_memory_of_the_device(client, regions, model):
    source, target = regions
    values = np.random.default_rng(1).standard_normal(BYTES // 4).astype(np.float32)
    for round_number in range(3):
        source.write(values + round_number)
        inputs = [shared_input(client, "in", values.size, BYTES)]
        client.infer(model, inputs, outputs=[shared_output(client, "out", BYTES)])
        assert np.array_equal(target.read(values.shape), values + round_number)


def test_one_side_may_be_in_the_message(client, regions):
    source, target = regions
    values = np.arange(1000, dtype=np.float32)
    source.write(values)
    answer = client.infer("echo", [shared_input(client, "in", 500, 2000, offset=2000)])
    assert np.array_equal(answer.as_numpy("OUTPUT0"), values[500:])
    tensor = client.module.InferInput("INPUT0", [10], "FP32")
    tensor.set_data_from_numpy(values[:10])
    client.infer("echo", [tensor], outputs=[shared_output(client, "out", 40, offset=8)])
    assert np.array_equal(target.read((12,))[2:], values[:10])


def test_strings_are_read_from_the_device(client, regions):
    source, _ = regions
    encoded = np.frombuffer(b"".join(len(text).to_bytes(4, "little") + text for text in (b"one", b"")), dtype=np.uint8)
    source.write(encoded)
    answer = client.infer("texts", [shared_input(client, "in", 2, encoded.size, data_type="BYTES")])
    assert list(answer.as_numpy("OUTPUT0")) == [b"one", b""]
    source.write(np.full(16, 255, dtype=np.uint8))
    with pytest.raises(InferenceServerException, match="string"):
        client.infer("texts", [shared_input(client, "in", 2, 16, data_type="BYTES")])


def test_status_tells_what_is_registered(client, regions):
    status = client.get_cuda_shared_memory_status(**({"as_json": True} if client.module is grpc else {}))
    rows = status["regions"].values() if client.module is grpc else status
    assert sorted((row["name"], int(row["byte_size"])) for row in rows) == [("in", BYTES), ("out", BYTES)]
    with pytest.raises(InferenceServerException, match="registered as CUDA shared memory, not system"):
        client.get_system_shared_memory_status("in")


def test_mistakes_are_told_and_harm_nobody(client, regions):
    source, target = regions
    handle = cuda_shared_memory.get_raw_handle(source.handle)
    for name, raw, device, size, text in [
        ("in", handle, 0, BYTES, "already in manager"),
        ("new", handle, 0, 1 << 40, "were asked for"),
        ("new", handle, 99, BYTES, "there is no GPU 99; the server uses 0"),
        ("new", handle[:8], 0, BYTES, "has 6 bytes, a CUDA IPC handle has 64"),
        ("new", "A" * 86 + "==", 0, BYTES, "failed to open CUDA IPC handle"),
    ]:
        with pytest.raises(InferenceServerException, match=text):
            client.register_cuda_shared_memory(name, raw, device, size)
    with pytest.raises(InferenceServerException, match="Invalid offset"):
        client.infer("echo", [shared_input(client, "in", 2, 8, offset=BYTES - 4)])
    with pytest.raises(InferenceServerException, match="should be at least 4000 bytes to hold the results"):
        tensor = client.module.InferInput("INPUT0", [1000], "FP32")
        tensor.set_data_from_numpy(np.zeros(1000, dtype=np.float32))
        client.infer("echo", [tensor], outputs=[shared_output(client, "out", 100)])
    values = np.arange(4, dtype=np.float32)
    source.write(values)
    client.infer("echo", [shared_input(client, "in", 4, 16)], outputs=[shared_output(client, "out", 16)])
    assert np.array_equal(target.read((4,)), values)


def register_and_die(url: str, is_registered):
    """A client that ends, without a word, while the server has its memory mapped."""
    client = http.InferenceServerClient(url)
    client.module = http
    region = Region(client, "orphan")
    region.write(np.full(4, 7, dtype=np.float32))
    is_registered.set()
    os._exit(9)


def test_a_client_that_dies_takes_nobody_with_it(server, models):
    context = multiprocessing.get_context("spawn")
    is_registered = context.Event()
    child = context.Process(target=register_and_die, args=(server.http_url, is_registered))
    child.start()
    child.join(60)
    assert child.exitcode == 9
    client = http.InferenceServerClient(server.http_url)
    client.module = http
    try:
        answer = client.infer("echo", [shared_input(client, "orphan", 4, 16)])
        print("the memory of the dead client reads", answer.as_numpy("OUTPUT0"))
    except InferenceServerException as error:
        print("the memory of the dead client is refused:", error)
    client.unregister_cuda_shared_memory("orphan")
    region = Region(client, "mine")
    region.write(np.arange(4, dtype=np.float32))
    answer = client.infer("echo", [shared_input(client, "mine", 4, 16)])
    assert np.array_equal(answer.as_numpy("OUTPUT0"), np.arange(4))
    region.free()


def used_mib() -> int:
    """Memory of the first device that is in use, by whomever."""
    asked = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    return int(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)


def test_regions_do_not_leak(client):
    """300 regions of 64 MiB are 19 GiB, which nobody has any more when all of them are gone."""
    first = Region(client, "first", 64 << 20)
    client.infer("echo", [shared_input(client, first.name, 4, 16)])
    first.free()
    before = used_mib()
    for number in range(300):
        region = Region(client, f"region{number}", 64 << 20)
        if number % 10 == 0:
            client.infer("echo", [shared_input(client, region.name, 4, 16)])
        region.free()
    assert used_mib() - before < 1024, "the server, or this process, holds regions that are gone"
