"""tritonclient's asynchronous clients: what operators and services do with them besides inference (test_flows.py has that)."""

import asyncio

import numpy as np
import pytest
import tritonclient.grpc.aio
import tritonclient.http.aio
from clients import PROTOCOLS
from repository import identity, write_model
from tritonclient.utils import InferenceServerException

MODULES = {"http": tritonclient.http.aio, "grpc": tritonclient.grpc.aio}


class AsyncClient:
    """Documents as JSON over either protocol."""

    def __init__(self, protocol: str, server):
        self.module = MODULES[protocol]
        self.raw = self.module.InferenceServerClient(server.http_url if protocol == "http" else server.grpc_url)
        self.options = {} if protocol == "http" else {"as_json": True}
        self.is_grpc = protocol == "grpc"

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.raw.close()

    async def states(self) -> dict[str, str]:
        answer = await self.raw.get_model_repository_index(**self.options)
        rows = answer["models"] if self.is_grpc else answer
        return {row["name"]: row.get("state", "") for row in rows}

    async def identity(self, model: str, values) -> list:
        array = np.array(values, np.float32)
        tensor = self.module.InferInput("INPUT0", list(array.shape), "FP32")
        tensor.set_data_from_numpy(array)
        return (await self.raw.infer(model, [tensor])).as_numpy("OUTPUT0").tolist()


@pytest.fixture(params=PROTOCOLS)
def talk(request, start_server, tmp_path):
    """Runs a conversation with a server in explicit mode that has `first` and `second` and has loaded neither."""
    folder = tmp_path / "models"
    for name in ("first", "second"):
        write_model(folder, name, identity())
    server = start_server(folder, "--model-control-mode=explicit")

    def run(conversation):
        async def connected():
            async with AsyncClient(request.param, server) as client:
                await conversation(client)

        asyncio.run(connected())

    return run


def test_models_are_loaded_listed_and_unloaded(talk):
    async def conversation(client):
        await asyncio.gather(client.raw.load_model("first"), client.raw.load_model("second"))
        assert await client.states() == {"first": "READY", "second": "READY"}
        assert await client.identity("second", [1, 2]) == [1, 2]
        await client.raw.unload_model("second")
        assert not await client.raw.is_model_ready("second")
        assert await client.raw.is_model_ready("first")
        with pytest.raises(InferenceServerException, match="failed to load 'stranger', failed to poll"):
            await client.raw.load_model("stranger")

    talk(conversation)


def test_statistics_count_what_was_asked(talk):
    async def conversation(client):
        await client.raw.load_model("first")
        await asyncio.gather(*(client.identity("first", [index]) for index in range(10)))
        answer = await client.raw.get_inference_statistics("first", **client.options)
        statistics = answer["model_stats"][0]
        assert int(statistics["inference_count"]) == int(statistics["inference_stats"]["success"]["count"]) == 10

    talk(conversation)


def test_a_request_that_is_given_up_leaves_the_server_as_it_was(talk):
    async def conversation(client):
        await client.raw.load_model("first")
        pending = asyncio.ensure_future(client.identity("first", np.zeros(1_000_000)))
        await asyncio.sleep(0)
        pending.cancel()
        with pytest.raises((asyncio.CancelledError, InferenceServerException)):
            await pending
        assert await client.identity("first", [3]) == [3]

    talk(conversation)
