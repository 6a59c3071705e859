"""Tensors in system shared memory, with the real clients: register, look, use, unregister, and clients that cheat."""

import asyncio
import contextlib
import itertools
import os
import queue
import threading
import time

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
import tritonclient.utils.shared_memory as shm
from clients import PROTOCOLS, Client
from server import Server
from test_perf_analyzer import check, measure, perf_analyzer  # noqa: F401 (a fixture)
from tritonclient.utils import InferenceServerException, serialize_byte_tensor

COUNT = itertools.count()
DISABLED = "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable."
WAIT_SECONDS_MAX = 60


@pytest.fixture(scope="module")
def sharing_server(binary, repository, tmp_path_factory):
    """The suite's repository behind a server that lets clients share memory; must outlive every cheat."""
    with Server(binary, tmp_path_factory.mktemp("sharing") / "log", [repository], "--allow-client-shm=true") as running:
        yield running
        assert running.process.poll() is None, f"the server died during the tests:\n{running.log_text()[-4000:]}"
        running.terminate()
        assert running.wait() == 0, running.log_text()[-4000:]


@pytest.fixture(params=PROTOCOLS)
def client(request, sharing_server):
    connected = Client(request.param, sharing_server)
    yield connected
    connected.raw.unregister_system_shared_memory()
    connected.close()


@pytest.fixture
def region():
    """Makes objects of a test's own: `region(bytes)` is a handle and the object's key; all are gone with the test."""
    with contextlib.ExitStack() as stack:

        def make(byte_size: int):
            key = f"/nereid_clients_{os.getpid()}_{next(COUNT)}"
            handle = shm.create_shared_memory_region(key, key, byte_size)
            stack.callback(shm.destroy_shared_memory_region, handle)
            return handle, key

        yield make


def status(client: Client, name: str = "") -> dict:
    """Regions by name, whatever the protocol."""
    answer = client.raw.get_system_shared_memory_status(name, **client._as_json)
    rows = answer.get("regions", {}).values() if client.protocol == "grpc" else answer
    return {row["name"]: (row["key"], int(row.get("offset", 0)), int(row["byte_size"])) for row in rows}


def shared_input(client: Client, name: str, shape, data_type: str, place: tuple):
    tensor = client.triton.InferInput(name, list(shape), data_type)
    tensor.set_shared_memory(*place)
    return tensor


def shared_output(client: Client, name: str, place: tuple):
    options = {"binary_data": True} if client.protocol == "http" else {}
    output = client.triton.InferRequestedOutput(name, **options)
    output.set_shared_memory(*place)
    return output


def refused(action, text: str, status: str | None = None):
    with pytest.raises(InferenceServerException) as caught:
        action()
    assert text in caught.value.message(), caught.value
    if status:
        assert caught.value.status() == status, caught.value


def still_serves(client: Client) -> bool:
    return client.identity("identity_fp32", np.ones(1, np.float32))[0] == 1


def test_a_region_is_registered_seen_and_unregistered(client, region):
    (_, key), (_, other) = region(256), region(64)
    client.raw.register_system_shared_memory("one", key, 128, offset=64)
    client.raw.register_system_shared_memory("two", other, 64)
    assert status(client) == {"one": (key, 64, 128), "two": (other, 0, 64)}
    assert status(client, "one") == {"one": (key, 64, 128)}
    again = lambda: client.raw.register_system_shared_memory("one", key, 1)  # noqa: E731
    refused(again, "shared memory region 'one' already in manager")
    client.raw.unregister_system_shared_memory("unknown")
    client.raw.unregister_system_shared_memory("one")
    refused(lambda: status(client, "one"), "Unable to find system shared memory region: 'one'")
    assert list(status(client)) == ["two"]
    client.raw.unregister_system_shared_memory()
    assert status(client) == {}


def test_what_cannot_be_registered_is_refused(client, region):
    _, key = region(64)
    register = client.raw.register_system_shared_memory
    refused(lambda: register("R", "/nereid_nobody_made_this", 1), "Unable to open shared memory region: '/nereid_nobody")
    for byte_size, offset in ((65, 0), (64, 1), (1, 64), (0, 0)):
        text = "failed to register shared memory region 'R': invalid args"
        refused(lambda: register("R", key, byte_size, offset=offset), text)  # noqa: B023
    for bad in ("/", "///", "/a/b", "/.."):
        text = f"cannot register shared memory region 'R' - invalid shm key '{bad}'"
        refused(lambda: register("R", bad, 1), text)  # noqa: B023
    reserved = "//triton_python_backend_shm_region_1"
    text = f"cannot register shared memory region 'R' with key '{reserved}' as the key contains the reserved prefix"
    refused(lambda: register("R", reserved, 1), text)
    assert status(client) == {}


def test_tensors_go_from_region_to_region(client, region):
    values = np.arange(16, dtype=np.float32)
    handle, key = region(256)
    shm.set_shared_memory_region(handle, [values])
    client.raw.register_system_shared_memory("R", key, 256)
    result = client.infer(
        "identity_fp32",
        shared_input(client, "INPUT0", [16], "FP32", ("R", 64, 0)),
        outputs=[shared_output(client, "OUTPUT0", ("R", 128, 128))],
    )
    [output] = result.get_response(**client._as_json)["outputs"]
    assert [int(extent) for extent in output["shape"]] == [16]
    assert "data" not in output and not output.get("parameters")
    if client.protocol == "grpc":
        assert result.get_response().raw_output_contents == [b""], "the entry is there, and empty"
    np.testing.assert_array_equal(shm.get_contents_as_numpy(handle, np.float32, [16], offset=128), values)


def test_shared_and_inline_tensors_mix_in_any_way(client, region):
    floats = np.array([1.5, -2.5], np.float32)
    texts = np.array(["one", "", "ü"], object)
    handle, key = region(128)
    shm.set_shared_memory_region(handle, [floats])
    client.raw.register_system_shared_memory("R", key, 128)
    shared = shared_input(client, "FLOATS", [2], "FP32", ("R", 8, 0))
    inline = client.input("TEXTS", texts, "BYTES")
    for inputs in ((shared, inline), (inline, shared)):
        result = client.infer("two", *inputs, outputs=[client.output("TEXTS_OUT"), client.output("FLOATS_OUT")])
        np.testing.assert_array_equal(result.as_numpy("FLOATS_OUT"), floats)
        assert [text.decode() for text in result.as_numpy("TEXTS_OUT")] == list(texts)
    outputs = [shared_output(client, "FLOATS_OUT", ("R", 8, 64)), client.output("TEXTS_OUT")]
    result = client.infer("two", client.input("FLOATS", floats, "FP32"), inline, outputs=outputs)
    np.testing.assert_array_equal(shm.get_contents_as_numpy(handle, np.float32, [2], offset=64), floats)
    assert [text.decode() for text in result.as_numpy("TEXTS_OUT")] == list(texts), "entries keep their places"


def test_strings_in_regions(client, region):
    texts = np.array(["one", "", "a longer one", "ü"], object)
    encoded = serialize_byte_tensor(texts)
    handle, key = region(256)
    shm.set_shared_memory_region(handle, [encoded])
    client.raw.register_system_shared_memory("R", key, 256)
    place = ("R", len(encoded.item()), 0)
    outputs = [shared_output(client, "OUTPUT0", ("R", 128, 128))]
    client.infer("identity_bytes", shared_input(client, "INPUT0", [4], "BYTES", place), outputs=outputs)
    found = shm.get_contents_as_numpy(handle, np.object_, [4], offset=128)
    assert [text.decode() for text in found] == list(texts)
    short = lambda: client.infer("identity_bytes", shared_input(client, "INPUT0", [5], "BYTES", place))  # noqa: E731
    refused(short, "expected 5 string elements")
    # A length field that reaches far beyond the region.
    shm.set_shared_memory_region(handle, [np.array([0xFFFFFFFF], np.uint32)])
    refused(
        lambda: client.infer("identity_bytes", shared_input(client, "INPUT0", [1], "BYTES", place)),
        "incomplete string length indicator",
    )


def test_bytes_beyond_the_region_are_refused(client, region):
    _, key = region(64)
    client.raw.register_system_shared_memory("R", key, 64)

    def use(*place):
        client.infer("identity_fp32", shared_input(client, "INPUT0", [16], "FP32", place))

    use("R", 64, 0)
    refused(lambda: use("S", 64, 0), "Unable to find shared memory region: 'S'")
    refused(lambda: use("R", 64, 64), "Invalid offset for shared memory region: 'R'")
    refused(lambda: use("R", 64, 4), "Invalid offset + byte size for shared memory region: 'R'")
    text = "input byte size mismatch for input 'INPUT0' for model 'identity_fp32'. Expected 64, got 60"
    refused(lambda: use("R", 60, 0), text)
    if client.protocol == "http":
        refused(lambda: use("R", 2**64 - 1, 8), "Integer overflow detected: byte_size (18446744073709551615) + offset (8)")
    else:
        refused(lambda: use("R", -1, 8), "Integer overflow detected: byte_size (18446744073709551615) + offset (8)")
    ones = client.input("INPUT0", np.ones(17, np.float32), "FP32")
    refused(
        lambda: client.infer("identity_fp32", ones, outputs=[shared_output(client, "OUTPUT0", ("R", 64, 0))]),
        "shared memory size specified with the request for output 'OUTPUT0' (64 bytes) should be at least 68 bytes to "
        "hold the results",
    )


def test_backends_ensembles_and_plugins_read_and_write_regions(client, region):
    handle, key = region(4096)
    client.raw.register_system_shared_memory("R", key, 4096)
    floats = np.arange(16, dtype=np.float32)
    for model in ("ensemble", "plugin_identity"):
        shm.set_shared_memory_region(handle, [floats, np.zeros(16, np.float32)])
        place = shared_input(client, "INPUT0", [16], "FP32", ("R", 64, 0))
        client.infer(model, place, outputs=[shared_output(client, "OUTPUT0", ("R", 64, 64))])
        np.testing.assert_array_equal(shm.get_contents_as_numpy(handle, np.float32, [16], offset=64), floats, model)
    left, right = np.arange(32, dtype=np.int32).reshape(2, 16), np.ones((2, 16), np.int32)
    shm.set_shared_memory_region(handle, [left, right])
    client.infer(
        "add_sub",
        shared_input(client, "INPUT0", [2, 16], "INT32", ("R", 128, 0)),
        shared_input(client, "INPUT1", [2, 16], "INT32", ("R", 128, 128)),
        outputs=[shared_output(client, "OUTPUT1", ("R", 128, 512)), shared_output(client, "OUTPUT0", ("R", 128, 1024))],
    )
    np.testing.assert_array_equal(shm.get_contents_as_numpy(handle, np.int32, [2, 16], offset=1024), left + right)
    np.testing.assert_array_equal(shm.get_contents_as_numpy(handle, np.int32, [2, 16], offset=512), left - right)


def begin(client: Client, model: str, region_name: str):
    """A request from byte 0 to byte 4096 of the region; returns what waits for its answer."""
    inputs = [shared_input(client, "INPUT0", [16], "FP32", (region_name, 64, 0))]
    outputs = [shared_output(client, "OUTPUT0", (region_name, 64, 4096))]
    if client.protocol == "http":
        return client.raw.async_infer(model, inputs, outputs=outputs).get_result
    answers = queue.Queue()
    client.raw.async_infer(model, inputs, lambda result, error: answers.put((result, error)), outputs=outputs)

    def wait():
        result, error = answers.get(timeout=WAIT_SECONDS_MAX)
        if error is not None:
            raise error
        return result

    return wait


def until(condition, what: str):
    end = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < end, f"still waiting until {what}"


@pytest.fixture
def two_in_flight(client, region, sharing_server):
    """Region `held` of 8192 bytes, and two requests that use it: one executes, the other waits for it."""
    handle, key = region(8192)
    values = np.arange(16, dtype=np.float32)
    shm.set_shared_memory_region(handle, [values])
    client.raw.register_system_shared_memory("held", key, 8192)
    waits = [begin(client, "slow", "held") for _ in range(2)]
    gauge = 'nv_inference_pending_request_count{model="slow",version="1"} 1'
    until(lambda: gauge in sharing_server.metrics(), "one executes and one waits")
    return handle, key, values, waits


def test_a_region_in_use_goes_with_its_last_request(client, two_in_flight):
    handle, key, values, waits = two_in_flight
    client.raw.unregister_system_shared_memory("held")
    assert status(client) == {"held": (key, 0, 8192)}
    again = lambda: client.raw.register_system_shared_memory("held", key, 8192)  # noqa: E731
    refused(again, "shared memory region 'held' already in manager")
    for wait in waits:
        wait()
    np.testing.assert_array_equal(shm.get_contents_as_numpy(handle, np.float32, [16], offset=4096), values)
    until(lambda: status(client) == {}, "the region is gone")


def trap(client: Client):
    """A plugin that ends in a trap, which the sandbox too learns from a signal."""
    for mode in ("panic", "recurse"):
        with pytest.raises(InferenceServerException):
            client.identity("plugin_hostile", np.ones(1, np.float32), parameters={"mode": mode})


def test_memory_taken_away_under_requests_fails_them_and_nobody_else(client, region, two_in_flight):
    _, key, _, waits = two_in_flight
    trap(client)
    os.truncate(f"/dev/shm{key}", 0)
    text = f"shared memory region 'held' is damaged: its object '{key}' no longer backs the 8192 bytes"
    for wait in waits:
        refused(wait, text)
    refused(begin(client, "identity_fp32", "held"), text)
    assert still_serves(client)
    trap(client)
    # Unregistered and registered again over a whole object, the name serves as before.
    client.raw.unregister_system_shared_memory("held")
    handle, key = region(8192)
    shm.set_shared_memory_region(handle, [np.ones(16, np.float32)])
    client.raw.register_system_shared_memory("held", key, 8192)
    begin(client, "identity_fp32", "held")()
    assert shm.get_contents_as_numpy(handle, np.float32, [16], offset=4096).sum() == 16


@pytest.mark.parametrize("model", ["identity_fp32", "ensemble", "plugin_identity", "add_sub"])
def test_memory_that_was_taken_away_before_a_request(client, region, model):
    handle, key = region(1 << 20)
    client.raw.register_system_shared_memory("R", key, 1 << 20)
    os.truncate(f"/dev/shm{key}", 4096)
    shape, data_type = ([1, 16], "INT32") if model == "add_sub" else ([16], "FP32")
    names = ("INPUT0", "INPUT1") if model == "add_sub" else ("INPUT0",)
    inputs = [shared_input(client, name, shape, data_type, ("R", 64, 65536)) for name in names]
    refused(lambda: client.infer(model, *inputs), "shared memory region 'R' is damaged")
    assert still_serves(client)


def test_values_that_change_under_a_request_are_only_values(client, region):
    """A client that writes while the server reads gets some of both, and no error."""
    handle, key = region(1 << 20)
    client.raw.register_system_shared_memory("R", key, 1 << 20)
    elements = 1 << 17
    stop = threading.Event()

    def write():
        while not stop.is_set():
            for value in (1, 2):
                shm.set_shared_memory_region(handle, [np.full(elements, value, np.float32)])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(50):
            place = shared_input(client, "INPUT0", [elements], "FP32", ("R", 4 * elements, 0))
            found = client.infer("identity_fp32", place).as_numpy("OUTPUT0")
            assert set(np.unique(found)) <= {0, 1, 2}
    finally:
        stop.set()
        writer.join()


def test_device_memory_is_refused_by_name(client):
    answer = client.raw.get_cuda_shared_memory_status(**client._as_json)
    assert answer in ([], {})
    text = "failed to register CUDA shared memory region: 'R', GPUs not supported"
    refused(lambda: client.raw.register_cuda_shared_memory("R", b"aGFuZGxl", 0, 64), text)
    client.raw.unregister_cuda_shared_memory()


def test_clients_share_memory_only_where_the_operator_says_so(server, region):
    _, key = region(64)
    for protocol in PROTOCOLS:
        client = Client(protocol, server)
        code = "501" if protocol == "http" else "StatusCode.UNIMPLEMENTED"
        refused(lambda: client.raw.register_system_shared_memory("R", key, 64), DISABLED, code)  # noqa: B023
        refused(lambda: client.raw.unregister_system_shared_memory(), DISABLED, code)  # noqa: B023
        assert status(client) == {}
        place = ("R", 64, 0)
        refused(
            lambda: client.infer("identity_fp32", shared_input(client, "INPUT0", [16], "FP32", place)),  # noqa: B023
            "Unable to find shared memory region: 'R'",
        )
        client.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_aio_clients(sharing_server, region, protocol):
    handle, key = region(256)
    values = np.arange(16, dtype=np.float32)
    shm.set_shared_memory_region(handle, [values])

    async def talk():
        triton = {"http": tritonclient.http.aio, "grpc": tritonclient.grpc.aio}[protocol]
        url = sharing_server.http_url if protocol == "http" else sharing_server.grpc_url
        async with triton.InferenceServerClient(url) as client:
            name = f"aio_{protocol}"
            await client.register_system_shared_memory(name, key, 256)
            source = triton.InferInput("INPUT0", [16], "FP32")
            source.set_shared_memory(name, 64, 0)
            target = triton.InferRequestedOutput("OUTPUT0")
            target.set_shared_memory(name, 64, 128)
            await client.infer("identity_fp32", [source], outputs=[target])
            found = await client.get_system_shared_memory_status()
            await client.unregister_system_shared_memory(name)
            with pytest.raises(InferenceServerException):
                await client.get_system_shared_memory_status(name)
            return found

    assert f"aio_{protocol}" in str(asyncio.run(talk()))
    np.testing.assert_array_equal(shm.get_contents_as_numpy(handle, np.float32, [16], offset=128), values)


def test_a_grpc_stream(sharing_server, region):
    handle, key = region(8192)
    values = np.arange(16, dtype=np.float32)
    shm.set_shared_memory_region(handle, [values])
    client = Client("grpc", sharing_server)
    client.raw.register_system_shared_memory("streamed", key, 8192)
    answers = queue.Queue()
    client.raw.start_stream(lambda result, error: answers.put((result, error)))
    inputs = [shared_input(client, "INPUT0", [16], "FP32", ("streamed", 64, 0))]
    for offset in (4096, 4096 + 64):
        outputs = [shared_output(client, "OUTPUT0", ("streamed", 64, offset))]
        client.raw.async_stream_infer("identity_fp32", inputs, outputs=outputs)
    for _ in range(2):
        _, error = answers.get(timeout=WAIT_SECONDS_MAX)
        assert error is None, error
    client.raw.stop_stream()
    for offset in (4096, 4096 + 64):
        np.testing.assert_array_equal(shm.get_contents_as_numpy(handle, np.float32, [16], offset=offset), values)
    client.raw.unregister_system_shared_memory("streamed")
    client.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "model, options",
    [
        ("identity_fp32", ["--shape=INPUT0:16", "--output-shared-memory-size=64"]),
        ("identity_fp32", ["--shape=INPUT0:4096"]),
        ("add_sub", ["-b", "4", "--output-shared-memory-size=4096"]),
        ("mlp", ["-b", "2"]),
    ],
)
def test_perf_analyzer(perf_analyzer, sharing_server, protocol, model, options):
    options = [*options, "--shared-memory=system", "--concurrency-range=4"]
    check(measure(perf_analyzer, sharing_server, model, protocol, *options))
