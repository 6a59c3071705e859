"""More than one request at a time: batching, streams, asynchronous clients, cancellation."""

import asyncio
import queue
import threading
import time

import numpy as np
import pytest
import tritonclient.grpc.aio
import tritonclient.http.aio
from clients import Client
from repository import SLOW_MODEL_MILLISECONDS
from tritonclient.utils import InferenceServerException

ROW = np.array([[1, 2, 3, 4]], np.float32)


def test_rows_of_a_batch_stay_in_their_places(client):
    sent = np.arange(32, dtype=np.float32).reshape(8, 4)
    assert client.identity("batched", sent).tobytes() == sent.tobytes()


def test_requests_at_the_same_time_are_executed_together(client):
    """The model waits up to 0.2 s to fill a batch of four or eight, so eight requests need no more than two or three."""
    before = client.statistics("batched")
    barrier, found = threading.Barrier(8), {}

    def send(index: int):
        barrier.wait()
        found[index] = client.identity("batched", ROW + index)

    if client.protocol == "http":
        # tritonclient's synchronous HTTP client belongs to one thread; its own pool sends at the same time.
        inputs = [[client.input("INPUT0", ROW + index, "FP32")] for index in range(8)]
        pending = [client.raw.async_infer("batched", inputs=one) for one in inputs]
        found = {index: one.get_result().as_numpy("OUTPUT0") for index, one in enumerate(pending)}
    else:
        threads = [threading.Thread(target=send, args=(index,)) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
    assert sorted(found) == list(range(8))
    for index, answer in found.items():
        assert answer.tobytes() == (ROW + index).tobytes(), f"request {index} got {answer}"
    after = client.statistics("batched")
    assert int(after["inference_count"]) - int(before.get("inference_count", 0)) == 8
    executions = int(after["execution_count"]) - int(before.get("execution_count", 0))
    assert executions <= 4, f"{executions} executions for 8 requests"


class Stream:
    """A gRPC stream whose answers wait in a queue."""

    def __init__(self, server):
        self.client = Client("grpc", server)
        self.answers: queue.Queue = queue.Queue()
        self.client.raw.start_stream(callback=lambda result, error: self.answers.put((result, error)))

    def send(self, model: str, array: np.ndarray, **options):
        self.client.raw.async_stream_infer(model, [self.client.input("INPUT0", array, "FP32")], **options)

    def next(self):
        return self.answers.get(timeout=60)

    def close(self):
        self.client.raw.stop_stream()
        self.client.close()


@pytest.fixture
def stream(server):
    opened = Stream(server)
    yield opened
    opened.close()


def test_a_stream_answers_in_the_order_of_its_requests(stream):
    for index in range(50):
        stream.send("identity_fp32", np.full(3, index, np.float32), request_id=str(index))
    for index in range(50):
        result, error = stream.next()
        assert error is None
        assert result.get_response().id == str(index)
        assert list(result.as_numpy("OUTPUT0")) == [index] * 3
        assert result.get_response().parameters["triton_final_response"].bool_param is True


def test_an_error_in_a_stream_names_its_request_and_does_not_end_the_stream(stream):
    stream.send("identity_fp32", np.zeros((1, 1), np.float32), request_id="bad")
    result, error = stream.next()
    assert result is None and "unexpected shape for input 'INPUT0'" in error.message()
    stream.send("nobody", np.zeros(1, np.float32))
    result, error = stream.next()
    assert result is None and "Request for unknown model: 'nobody' is not found" in error.message()
    stream.send("identity_fp32", np.ones(1, np.float32))
    result, error = stream.next()
    assert error is None and list(result.as_numpy("OUTPUT0")) == [1]


def test_a_stream_carries_requests_for_several_models(stream):
    stream.send("identity_fp32", np.ones(1, np.float32), request_id="a")
    stream.send("ensemble", np.full(1, 2, np.float32), request_id="b")
    stream.send("plugin_identity", np.full(1, 3, np.float32), request_id="c")
    found = {}
    for _ in range(3):
        result, error = stream.next()
        assert error is None
        found[result.get_response().id] = list(result.as_numpy("OUTPUT0"))
    assert found == {"a": [1], "b": [2], "c": [3]}


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_asynchronous_clients_work(server, protocol):
    triton = {"http": tritonclient.http.aio, "grpc": tritonclient.grpc.aio}[protocol]
    url = server.http_url if protocol == "http" else server.grpc_url

    async def infer(client, index: int):
        array = np.full(4, index, np.float32)
        tensor = triton.InferInput("INPUT0", [4], "FP32")
        tensor.set_data_from_numpy(array)
        return index, (await client.infer("identity_fp32", [tensor])).as_numpy("OUTPUT0")

    async def talk():
        async with triton.InferenceServerClient(url) as client:
            assert await client.is_server_live() and await client.is_model_ready("identity_fp32")
            metadata = await client.get_model_metadata("identity_fp32")
            assert (metadata["name"] if protocol == "http" else metadata.name) == "identity_fp32"
            for index, found in await asyncio.gather(*(infer(client, index) for index in range(64))):
                assert list(found) == [index] * 4
            with pytest.raises(InferenceServerException, match="Request for unknown model: 'nobody' is not found"):
                await client.get_model_config("nobody")

    asyncio.run(talk())


def test_the_asynchronous_stream_works(server):
    async def talk():
        async with tritonclient.grpc.aio.InferenceServerClient(server.grpc_url) as client:

            async def requests():
                for index in range(10):
                    tensor = tritonclient.grpc.aio.InferInput("INPUT0", [1], "FP32")
                    tensor.set_data_from_numpy(np.full(1, index, np.float32))
                    yield {"model_name": "identity_fp32", "inputs": [tensor], "request_id": str(index)}

            found = []
            async for result, error in client.stream_infer(requests()):
                assert error is None
                found.append((result.get_response().id, list(result.as_numpy("OUTPUT0"))))
            assert found == [(str(index), [index]) for index in range(10)]

    asyncio.run(talk())


def test_a_slow_model_does_not_hold_up_another(client, server):
    slow = threading.Thread(target=lambda: Client("grpc", server).identity("slow", np.ones(1, np.float32)))
    slow.start()
    started = time.monotonic()
    for _ in range(10):
        client.identity("identity_fp32", np.ones(1, np.float32))
    assert time.monotonic() - started < SLOW_MODEL_MILLISECONDS / 1000
    slow.join(timeout=60)


def test_a_client_that_gives_up_gets_its_own_timeout(server):
    client = Client("grpc", server)
    # Who notices first writes the text: the client's own clock, or the server, which is told the time by grpc-timeout.
    with pytest.raises(InferenceServerException, match="Deadline Exceeded|Timeout expired"):
        client.infer("slow", client.input("INPUT0", np.ones(1, np.float32), "FP32"), client_timeout=0.2)
    assert client.identity("identity_fp32", np.ones(1, np.float32))[0] == 1
    client.close()


def test_compressed_grpc_messages_are_understood(server):
    client = Client("grpc", server)
    array = np.zeros(10_000, np.float32)
    for algorithm in ("gzip", "deflate"):
        assert client.identity("identity_fp32", array, compression_algorithm=algorithm).tobytes() == array.tobytes()
    client.close()
