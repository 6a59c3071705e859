"""Tenants: whose API key a request came with, what they may ask for, what they used. Through the real server with Triton's clients,
each tenant beside others that must not notice."""

import hashlib
import json
import re
import shutil
import threading

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from repository import identity, tensors, write_model, write_plugin
from server import ROOT, Server, run_to_end
from streams import wait_until
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

KEYS = {"hasty": "hasty", "narrow": "narrow", "acme": "acme", "bolt": "bolt", "nobody": None}
BURST, NARROW = 5, 2

OPERATOR = f"""
[tenants.hasty.quota]
requests_per_second = 0.01
burst = {BURST}

[tenants.narrow.quota]
concurrent_requests = {NARROW}

[tenants.acme]
[tenants.bolt]
"""

SLOW = 'parameters { key: "execute_delay_ms" value: { string_value: "800" } }\nmax_batch_size: 0\ninstance_group [ { kind: KIND_CPU count: 4 } ]\n'
REACH = 'backend: "wasm"\nmax_batch_size: 0\n' + tensors("input", ("X", "TYPE_FP32", "1")) + tensors("output", ("REACHED", "TYPE_STRING", "1"))


def write_keys(path, keys: dict[str, str | None]):
    text = 'open = ["health", "metrics", "statistics"]\n'
    for name, tenant in keys.items():
        digest = hashlib.sha256(name.encode()).hexdigest()
        text += f'[[key]]\nname = "{name}"\nsha256 = "{digest}"\ncategories = ["all"]\n'
        text += f'tenant = "{tenant}"\n' if tenant else ""
    path.write_text(text)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    models = tmp_path_factory.mktemp("tenant_models")
    write_model(models, "quick", identity())
    write_model(models, "slow", identity(more=SLOW))
    write_model(models, "identity", identity())
    write_plugin(models, "hostile", "hostile")
    write_plugin(models, "relay", "relay", ["identity"])
    write_model(models, "reach", REACH)
    shutil.copy(ROOT / "target/guests/reach.wasm", models / "reach/1/model.wasm")
    (models / "hostile/plugin.toml").write_text("[limits]\ncpu_ms = 200\n")
    return models


@pytest.fixture
def tenants(binary, models, tmp_path):
    """A server of its own for every test: quotas remember."""
    (tmp_path / "nereid.toml").write_text(OPERATOR)
    write_keys(tmp_path / "keys.toml", KEYS)
    flags = [f"--server-config={tmp_path}/nereid.toml", f"--api-key-file={tmp_path}/keys.toml"]
    with Server(binary, tmp_path / "log", [models], *flags) as running:
        yield running


class Caller:
    """A client with the key of that name, over HTTP or gRPC."""

    def __init__(self, server, key: str, protocol: str):
        self.triton = {"http": tritonclient.http, "grpc": tritonclient.grpc}[protocol]
        url = {"http": server.http_url, "grpc": server.grpc_url}[protocol]
        options = {"concurrency": 8} if protocol == "http" else {}
        self.client, self.headers = self.triton.InferenceServerClient(url, **options), {"authorization": f"Bearer {key}"}

    def infer(self, model: str, floats: int = 1, **parameters):
        given = self.triton.InferInput("INPUT0", [floats], "FP32")
        given.set_data_from_numpy(np.ones(floats, np.float32))
        return self.client.infer(model, [given], headers=self.headers, parameters=parameters or None)


def figure(server, name: str, **labels) -> float:
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    found = re.search(rf"^{name}{{{re.escape(inside)}}} (\S+)$", server.metrics(), re.MULTILINE)
    return float(found.group(1)) if found else 0.0


@pytest.mark.parametrize("protocol, status", [("http", "429"), ("grpc", "StatusCode.RESOURCE_EXHAUSTED")])
def test_a_tenant_beyond_its_rate_is_told_so_and_nobody_else(tenants, protocol, status):
    hasty, others = Caller(tenants, "hasty", protocol), [Caller(tenants, key, protocol) for key in ("acme", "nobody")]
    for _ in range(BURST):
        hasty.infer("quick")
    for _ in range(3):
        with pytest.raises(InferenceServerException, match="tenant 'hasty' is beyond its 0.01 requests per second") as caught:
            hasty.infer("quick")
        assert caught.value.status() == status
        for other in others:
            other.infer("quick")
    assert figure(tenants, "nereid_tenant_requests_total", tenant="hasty") == BURST
    assert figure(tenants, "nereid_tenant_rejected_total", reason="rate", tenant="hasty") == 3
    assert figure(tenants, "nereid_tenant_requests_total", tenant="acme") == 3


def test_whoever_is_beyond_a_rate_is_told_when_to_come_again(tenants):
    """0.01 requests per second are one in a hundred seconds."""
    body = json.dumps({"inputs": [{"name": "INPUT0", "shape": [1], "datatype": "FP32", "data": [1]}]}).encode()
    ask = lambda: tenants.request("POST", "/v2/models/quick/infer", body, {"authorization": "Bearer hasty"})
    for _ in range(BURST):
        answer = ask()
        assert answer.status == 200 and "retry-after" not in {name.lower() for name in answer.headers}
    answer = ask()
    assert answer.status == 429
    assert 90 <= int({name.lower(): value for name, value in answer.headers.items()}["retry-after"]) <= 100
    with grpc.insecure_channel(tenants.grpc_url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        given = service_pb2.ModelInferRequest.InferInputTensor(name="INPUT0", shape=[1], datatype="FP32")
        given.contents.fp32_contents.append(1)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(service_pb2.ModelInferRequest(model_name="quick", inputs=[given]), metadata=[("authorization", "Bearer hasty")])
    trailers = {key: value for key, value in caught.value.trailing_metadata()}
    assert 90_000 <= int(trailers["grpc-retry-pushback-ms"]) <= 100_000


def test_every_message_of_a_stream_counts(tenants):
    answers = []
    client = tritonclient.grpc.InferenceServerClient(tenants.grpc_url)
    client.start_stream(lambda result, error: answers.append(error), headers={"authorization": "Bearer hasty"})
    given = tritonclient.grpc.InferInput("INPUT0", [1], "FP32")
    given.set_data_from_numpy(np.ones(1, np.float32))
    for _ in range(BURST + 2):
        client.async_stream_infer("quick", [given])
    wait_until(lambda: len(answers) == BURST + 2)
    client.stop_stream()
    assert [error is None for error in answers] == [True] * BURST + [False] * 2
    assert "tenant 'hasty' is beyond its" in str(answers[-1])


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_tenant_has_no_more_under_way_than_it_may(tenants, protocol):
    caller, outcomes = Caller(tenants, "narrow", "grpc"), []

    def ask():
        try:
            caller.infer("slow")
            outcomes.append(None)
        except InferenceServerException as error:
            outcomes.append(error)

    threads = [threading.Thread(target=ask) for _ in range(NARROW)]
    [thread.start() for thread in threads]
    wait_until(lambda: figure(tenants, "nereid_tenant_requests_under_way", tenant="narrow") == NARROW)
    with pytest.raises(InferenceServerException, match=f"tenant 'narrow' has {NARROW} requests under way"):
        Caller(tenants, "narrow", protocol).infer("quick")
    Caller(tenants, "bolt", protocol).infer("quick")
    [thread.join() for thread in threads]
    assert outcomes == [None] * NARROW
    wait_until(lambda: figure(tenants, "nereid_tenant_requests_under_way", tenant="narrow") == 0)
    Caller(tenants, "narrow", protocol).infer("quick")


def test_a_request_that_fails_or_is_abandoned_is_under_way_no_more(tenants):
    caller = Caller(tenants, "narrow", "grpc")
    for _ in range(NARROW * 3):
        with pytest.raises(InferenceServerException):
            caller.infer("hostile", mode="panic")
        given = tritonclient.grpc.InferInput("INPUT0", [1], "FP32")
        given.set_data_from_numpy(np.ones(1, np.float32))
        with pytest.raises(InferenceServerException):
            caller.client.infer("slow", [given], headers=caller.headers, client_timeout=0.05)
        wait_until(lambda: figure(tenants, "nereid_tenant_requests_under_way", tenant="narrow") == 0)


def test_what_plugins_use_is_counted_for_whose_requests_they_serve(tenants):
    acme, bolt, nobody = (Caller(tenants, key, "http") for key in ("acme", "bolt", "nobody"))
    for _ in range(7):
        acme.infer("relay", floats=100)
    for _ in range(3):
        bolt.infer("relay", floats=10)
    nobody.infer("relay")
    for tenant, requests, floats in (("acme", 7, 100), ("bolt", 3, 10), ("", 1, 1)):
        labels = {"model": "relay", "tenant": tenant}
        assert figure(tenants, "nereid_plugin_requests_total", **labels) == requests
        assert figure(tenants, "nereid_plugin_model_calls_total", **labels) == requests
        assert figure(tenants, "nereid_plugin_input_bytes_total", **labels) == requests * floats * 4
        assert figure(tenants, "nereid_plugin_output_bytes_total", **labels) == requests * floats * 4
        assert figure(tenants, "nereid_plugin_failures_total", **labels) == 0
    assert figure(tenants, "nereid_tenant_input_bytes_total", tenant="acme") == 7 * 100 * 4


def test_the_time_of_a_plugin_that_spins_is_its_tenants(tenants):
    acme, bolt = Caller(tenants, "acme", "grpc"), Caller(tenants, "bolt", "grpc")
    for _ in range(2):
        with pytest.raises(InferenceServerException, match="computing"):
            acme.infer("hostile", mode="loop")
    bolt.infer("hostile")
    spent = {tenant: figure(tenants, "nereid_plugin_cpu_seconds_total", model="hostile", tenant=tenant) for tenant in ("acme", "bolt")}
    assert spent["acme"] >= 0.4 and spent["bolt"] < 0.2, spent
    assert figure(tenants, "nereid_plugin_failures_total", model="hostile", tenant="acme") == 2
    assert figure(tenants, "nereid_plugin_failures_total", model="hostile", tenant="bolt") == 0


@pytest.mark.parametrize("key, tenant", [("acme", 'Some("acme")'), ("nobody", "None")])
def test_a_plugin_knows_whose_request_it_serves(tenants, key, tenant):
    client = tritonclient.grpc.InferenceServerClient(tenants.grpc_url)
    given = tritonclient.grpc.InferInput("X", [1], "FP32")
    given.set_data_from_numpy(np.ones(1, np.float32))
    answer = client.infer("reach", [given], headers={"authorization": f"Bearer {key}"}, parameters={"what": "tenant"})
    assert answer.as_numpy("REACHED")[0].decode() == tenant


def test_a_neighbour_of_a_hostile_tenant_loses_nothing(tenants):
    """acme's requests spin, trap, allocate and flood while bolt's go on: none of bolt's fails."""
    stop, abuses = threading.Event(), []

    def abuse(mode: str):
        caller = Caller(tenants, "acme", "grpc")
        while not stop.is_set():
            try:
                caller.infer("hostile", mode=mode)
            except InferenceServerException:
                pass
            abuses.append(mode)

    threads = [threading.Thread(target=abuse, args=(mode,)) for mode in ("loop", "panic", "allocate", "flood-log")]
    [thread.start() for thread in threads]
    try:
        bolt = Caller(tenants, "bolt", "http")
        answered = 0
        while answered < 60 or len(set(abuses)) < len(threads):
            assert bolt.infer("hostile").as_numpy("OUTPUT0").tolist() == [1.0]
            answered += 1
    finally:
        stop.set()
        [thread.join() for thread in threads]
    counted = figure(tenants, "nereid_plugin_requests_total", model="hostile", tenant="bolt")
    assert counted == answered and figure(tenants, "nereid_plugin_requests_total", model="hostile", tenant="acme") == len(abuses)
    assert figure(tenants, "nereid_plugin_failures_total", model="hostile", tenant="bolt") == 0


def test_a_key_of_a_tenant_that_is_not_listed_is_a_mistake(binary, models, tmp_path):
    (tmp_path / "nereid.toml").write_text("[tenants.acme]\n")
    write_keys(tmp_path / "keys.toml", {"a": "acne"})
    flags = [f"--server-config={tmp_path}/nereid.toml", f"--api-key-file={tmp_path}/keys.toml"]
    ended = run_to_end(binary, "serve", f"--model-repository={models}", *flags)
    assert ended.returncode == 1 and "is wrong at the key 'a': nereid.toml lists no tenant 'acne', only acme" in ended.stderr
