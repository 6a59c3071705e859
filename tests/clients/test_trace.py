"""Request traces: their settings over every client, trace files, and spans in a collector."""

import asyncio
import os
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest
import tritonclient.grpc.aio
import tritonclient.http.aio
from clients import PROTOCOLS, Client
from collector import Collector
from repository import tensors, write_model
from server import ROOT
from test_perf_analyzer import REQUESTS, measure
from trace_file import read_traces
from tritonclient.utils import InferenceServerException

HTTP_IN, HTTP_OUT = ["HTTP_RECV_START", "HTTP_RECV_END"], ["INFER_RESPONSE_COMPLETE", "HTTP_SEND_START", "HTTP_SEND_END"]
GRPC_IN = ["GRPC_WAITREAD_START", "GRPC_WAITREAD_END"]
GRPC_OUT = ["INFER_RESPONSE_COMPLETE", "GRPC_SEND_START", "GRPC_SEND_END"]
ENTERED = ["REQUEST_START", "QUEUE_START"]
COMPUTED = ["COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END"]
MODEL = [*ENTERED, *COMPUTED, "REQUEST_END"]
WHOLE = {"http": [*HTTP_IN, *MODEL, *HTTP_OUT], "grpc": [*GRPC_IN, *MODEL, *GRPC_OUT]}
ONE = np.array([1.5], np.float32)
IMAGE = ROOT / "examples/vision/images"


class Settings:
    """Trace settings over one of tritonclient's four clients, as plain texts and lists."""

    def __init__(self, kind: str, server):
        self.protocol, _, self.is_aio = kind.partition("-")
        self.server = server

    def get(self, model=None) -> dict:
        return self._call("get_trace_settings", model)

    def update(self, model=None, **settings) -> dict:
        return self._call("update_trace_settings", model, settings=settings)

    def _call(self, function: str, model, **arguments) -> dict:
        options = {"as_json": True} if self.protocol == "grpc" else {}
        url = getattr(self.server, f"{self.protocol}_url")
        if self.is_aio:
            return self._plain(asyncio.run(self._call_aio(url, function, model_name=model, **arguments, **options)))
        client = Client(self.protocol, self.server)
        try:
            return self._plain(getattr(client.raw, function)(model_name=model, **arguments, **options))
        finally:
            client.close()

    async def _call_aio(self, url: str, function: str, **arguments):
        library = {"http": tritonclient.http.aio, "grpc": tritonclient.grpc.aio}[self.protocol]
        async with library.InferenceServerClient(url) as client:
            return await getattr(client, function)(**arguments)

    def _plain(self, answer: dict) -> dict:
        if self.protocol == "http":
            return answer
        values = {key: setting.get("value", []) for key, setting in answer["settings"].items()}
        return {key: value if key == "trace_level" else value[0] for key, value in values.items()}


@pytest.fixture
def traced_server(start_server, repository, tmp_path):
    """Starts a server that traces every request into the file that comes with it."""

    def start(*flags: str, models: pathlib.Path = repository):
        file = tmp_path / "trace.json"
        given = [f"--trace-config={setting}" for setting in ("level=TIMESTAMPS", "rate=1", f"triton,file={file}", *flags)]
        return start_server(models, *given), file

    return start


def stop(server):
    server.terminate()
    assert server.wait() == 0, server.log_text()


def infer(server, protocol: str, model: str = "identity_fp32", times: int = 1, **options):
    client = Client(protocol, server)
    for _ in range(times):
        client.identity(model, ONE, **options)
    client.close()


@pytest.mark.parametrize("kind", ["http", "grpc", "http-aio", "grpc-aio"])
def test_settings_are_inherited_overridden_and_cleared(traced_server, kind):
    server, file = traced_server()
    settings = Settings(kind, server)
    start = {
        "trace_level": ["TIMESTAMPS"],
        "trace_rate": "1",
        "trace_count": "-1",
        "log_frequency": "0",
        "trace_file": str(file),
        "trace_mode": "triton",
    }
    assert settings.get() == settings.get("identity_fp32") == start
    null = [] if settings.protocol == "grpc" else None
    settings.update("identity_fp32", trace_rate="12", log_frequency="34")
    settings.update(trace_rate="56", trace_count="78", trace_level=["OFF"])
    assert settings.get("identity_int32") == start | {"trace_rate": "56", "trace_count": "78", "trace_level": ["OFF"]}
    assert settings.update(trace_rate=null, trace_count=null) == start | {"trace_level": ["OFF"]}
    overridden = start | {"trace_level": ["OFF"], "trace_rate": "12", "log_frequency": "34"}
    assert settings.get("identity_fp32") == overridden
    cleared = settings.update("identity_fp32", trace_rate=null, trace_level=null)
    assert cleared == overridden | {"trace_rate": "1"}
    settings.update("identity_fp32", log_frequency=null)
    assert settings.update(trace_level=["TIMESTAMPS", "TENSORS"])["trace_level"] == ["TIMESTAMPS", "TENSORS"]
    assert settings.get("identity_fp32") == settings.get()


@pytest.mark.parametrize("kind", ["http", "grpc", "http-aio", "grpc-aio"])
def test_what_cannot_be_set_is_refused_in_tritons_words(traced_server, kind):
    settings = Settings(kind, traced_server()[0])

    def refused(text: str, model=None, **wrong):
        with pytest.raises(InferenceServerException, match=re.escape(text)):
            settings.update(model, **wrong)

    refused("trace file location can not be updated through network protocol", trace_file="x")
    refused("Unable to parse 'trace_rate', got: x", trace_rate="x")
    refused("Unable to parse 'trace_count', value is out of range [ -1, 2147483647 ]", trace_count="10000000000")
    refused("Unable to parse 'log_frequency', value is out of range", log_frequency="10000000000")
    refused("Expect only one trace level 'OFF' is specified", trace_level=["OFF", "TENSORS"])
    refused("Attempting to set invalid trace setting :sample rate must be non-zero", trace_rate="0")
    refused("Request for unknown model : does-not-exist", "does-not-exist", trace_rate="1")
    with pytest.raises(InferenceServerException, match="Request for unknown model : does-not-exist"):
        settings.get("does-not-exist")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_request_leaves_its_moments_in_their_order(traced_server, protocol):
    server, file = traced_server()
    infer(server, protocol, request_id="one")
    infer(server, protocol)
    stop(server)
    first, second = read_traces(file)
    assert (first.model, first.version, first.request_id, first.parent_id) == ("identity_fp32", 1, "one", None)
    assert (second.id, second.request_id) == (first.id + 1, "")
    for trace in (first, second):
        assert trace.names == WHOLE[protocol]
        times = [ns for _, ns in trace.moments]
        assert times == sorted(times)
    assert first.moments[-1][1] < second.moments[0][1]


def test_a_stream_of_requests_is_traced_request_by_request(traced_server):
    server, file = traced_server()
    client = Client("grpc", server)
    answers = []
    client.raw.start_stream(lambda result, error: answers.append(error))
    for number in range(3):
        inputs = [client.input("INPUT0", ONE, "FP32")]
        client.raw.async_stream_infer("identity_fp32", inputs, request_id=str(number))
    client.raw.stop_stream()
    client.close()
    assert answers == [None] * 3
    stop(server)
    traces = read_traces(file)
    assert sorted(trace.request_id for trace in traces) == ["0", "1", "2"]
    assert all(trace.names == WHOLE["grpc"] for trace in traces)


def test_the_file_is_whole_while_the_server_runs(traced_server):
    server, file = traced_server()
    infer(server, "http", times=3)
    while not file.exists() or len(file.read_text().split("HTTP_SEND_END")) < 4:
        assert server.process.poll() is None
    assert len(read_traces(file)) == 3


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_steps_of_an_ensemble_are_its_children(traced_server, protocol):
    server, file = traced_server()
    infer(server, protocol, "ensemble", request_id="e")
    stop(server)
    ensemble, *steps = read_traces(file)
    ends = {"http": (HTTP_IN, HTTP_OUT), "grpc": (GRPC_IN, GRPC_OUT)}[protocol]
    # An ensemble computes nothing itself.
    assert ensemble.names == [*ends[0], *ENTERED, "REQUEST_END", *ends[1]]
    assert [(step.model, step.parent_id, step.request_id) for step in steps] == [("identity_fp32", ensemble.id, "e")] * 2
    assert all(step.names == MODEL for step in steps)
    first, second = steps
    assert ensemble.at("QUEUE_START") <= first.at("REQUEST_START")
    assert first.at("REQUEST_END") <= second.at("REQUEST_START")
    assert second.at("REQUEST_END") <= ensemble.at("REQUEST_END")


def test_calls_of_a_plugin_are_its_children(traced_server):
    server, file = traced_server(models=ROOT / "model_repository")
    client = Client("http", server)
    image = next(iter(sorted(IMAGE.glob("*.png"))))
    client.infer("vision_bls", client.input("image", np.array([[image.read_bytes()]], np.object_), "BYTES"))
    client.close()
    stop(server)
    caller, *called = read_traces(file)
    assert (caller.model, caller.names) == ("vision_bls", WHOLE["http"])
    assert {trace.parent_id for trace in called} == {caller.id}
    models = [trace.model for trace in called]
    assert models[:2] == ["image_preprocess", "digits_cnn"] and models[-1] == "label_mapper"
    for trace in called:
        assert trace.names == MODEL
        assert caller.at("COMPUTE_START") <= trace.at("REQUEST_START")
        assert trace.at("REQUEST_END") <= caller.at("COMPUTE_END")


STEPS = ["outer_START", "half", "inner_START", "inner_END", "outer_END", "of-request_START", "of-request_END", "open_START", "open_END"]


@pytest.fixture
def plugin_models(tmp_path):
    """A model that is the contract test's plugin, whose mode `spans` has steps of its own."""
    config = 'backend: "wasm"\n' + tensors("input", ("X", "TYPE_FP32", "-1")) + tensors("output", ("X", "TYPE_FP32", "-1"))
    write_model(tmp_path / "plugins", "steps", config)
    shutil.copy(ROOT / "target/guests/contract_rust.wasm", tmp_path / "plugins/steps/1/model.wasm")
    return tmp_path / "plugins"


def ask_for_steps(server, protocol: str) -> str:
    """Whether the plugin says that its steps are recorded."""
    client = Client(protocol, server)
    result = client.infer("steps", client.input("X", ONE, "FP32"), parameters={"mode": "spans"})
    client.close()
    answer = result.get_response()
    return answer["parameters"]["said"] if protocol == "http" else answer.parameters["said"].string_param


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_steps_of_a_plugin_are_custom_activities(traced_server, plugin_models, protocol):
    server, file = traced_server(models=plugin_models)
    assert ask_for_steps(server, protocol) == "true"
    Settings(protocol, server).update(trace_level=["OFF"])
    assert ask_for_steps(server, protocol) == "false"
    stop(server)
    (trace,) = read_traces(file)
    assert [name for name in trace.names if name in STEPS] == STEPS
    assert [name for name in trace.names if name not in STEPS] == WHOLE[protocol]
    assert trace.at("COMPUTE_START") <= trace.at("outer_START") and trace.at("open_END") <= trace.at("COMPUTE_END")
    assert trace.steps == {"outer": {"number": 3, "word": "x", "sure": True}, "inner": {"share": 0.5}}


def test_rate_and_count_choose_requests(traced_server):
    server, file = traced_server("rate=3", "count=2")
    infer(server, "grpc", times=12)
    assert Settings("http", server).get()["trace_count"] == "0"
    stop(server)
    # The last trace of a count completes a file, as it does Triton's.
    assert len(read_traces(file.with_name("trace.json.0"))) == 2
    assert not file.exists()


def test_a_log_frequency_numbers_the_files(traced_server):
    server, file = traced_server()
    Settings("http", server).update("identity_fp32", log_frequency="2")
    infer(server, "http", times=5)
    stop(server)
    counts = [len(read_traces(file.with_name(f"trace.json.{number}"))) for number in range(3)]
    assert counts == [2, 2, 1]


def test_models_are_switched_off_one_by_one(traced_server):
    server, file = traced_server()
    Settings("grpc", server).update("identity_fp32", trace_level=["OFF"])
    infer(server, "http")
    infer(server, "http", "ensemble")
    stop(server)
    assert read_traces(file)[0].model == "ensemble"


def test_tensors_are_written_with_their_values(traced_server):
    server, file = traced_server("level=TENSORS")
    infer(server, "http", "ensemble")
    stop(server)
    for trace in read_traces(file):
        tensor = {"data": "1.5", "shape": "1", "dtype": "FP32"}
        expected = [("TENSOR_QUEUE_INPUT", {"name": "INPUT0"} | tensor), ("TENSOR_BACKEND_OUTPUT", {"name": "OUTPUT0"} | tensor)]
        assert trace.tensors == expected


def test_the_older_flags_still_trace(start_server, repository, tmp_path):
    file = tmp_path / "trace.json"
    flags = [f"--trace-file={file}", "--trace-level=TIMESTAMPS", "--trace-rate=1", "--trace-log-frequency=1"]
    server = start_server(repository, *flags)
    infer(server, "http")
    stop(server)
    assert read_traces(file.with_name("trace.json.0"))[0].names == WHOLE["http"]
    assert "--trace-file is deprecated: use --trace-config=triton,file=FILE" in server.log_text()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_perf_analyzer_switches_traces_on(start_server, repository, tmp_path, protocol):
    file = tmp_path / "trace.json"
    server = start_server(repository, f"--trace-config=triton,file={file}")
    options = ["--shape=INPUT0:16", "--trace-level=TIMESTAMPS", "--trace-rate=10", "--trace-count=-1", "--log-frequency=0"]
    measure(os.environ["NEREID_PERF_ANALYZER"], server, "identity_fp32", protocol, *options)
    stop(server)
    traces = read_traces(file)
    assert len(traces) >= REQUESTS // 10
    assert all(trace.names == WHOLE[protocol] for trace in traces)


@pytest.fixture
def collector():
    with Collector() as running:
        yield running


@pytest.fixture
def exporting_server(start_server, repository, collector):
    """Starts a server that sends spans to the collector as soon as they are there."""

    def start(*settings: str, models: pathlib.Path = repository):
        given = ("mode=opentelemetry", "level=TIMESTAMPS", "rate=1", f"opentelemetry,url={collector.url}")
        given += ("opentelemetry,bsp_schedule_delay=10", "opentelemetry,resource=service.name=tested", *settings)
        return start_server(models, *(f"--trace-config={setting}" for setting in given))

    return start


CONTEXT = "00-0af7651916cd43dd8448eb211c12666c-b7ad6b7169242424-01"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("headers", [None, {"traceparent": CONTEXT}])
def test_spans_reach_a_collector(exporting_server, collector, protocol, headers):
    server = exporting_server("opentelemetry,resource=test.key=test.value")
    # tritonclient adds to the headers that it is given.
    infer(server, protocol, "ensemble", request_id="r", headers=headers and dict(headers))
    spans = collector.spans(6)
    assert sorted(span.name for span in spans) == sorted(["InferRequest", "ensemble", *["identity_fp32", "compute"] * 2])
    by_id = {span.id: span for span in spans}
    (root,) = (span for span in spans if span.name == "InferRequest")
    assert {span.trace_id for span in spans} == {root.trace_id}
    if headers:
        assert (root.trace_id, root.parent_id) == tuple(CONTEXT.split("-")[1:3])
    else:
        assert root.parent_id == ""
    parents = {(span.name, by_id[span.parent_id].name) for span in spans if span is not root}
    assert parents == {("ensemble", "InferRequest"), ("identity_fp32", "ensemble"), ("compute", "identity_fp32")}
    events = {span.name: span.events for span in spans}
    ends = {"http": [*HTTP_IN, *HTTP_OUT], "grpc": [*GRPC_IN, *GRPC_OUT]}
    assert events["InferRequest"] == ends[protocol]
    assert events["ensemble"] == events["identity_fp32"] == [*ENTERED, "REQUEST_END"]
    assert events["compute"] == COMPUTED
    (model,) = (span for span in spans if span.name == "ensemble")
    attributes = {key: model.attributes[key] for key in ("triton.model_name", "triton.model_version", "triton.request_id")}
    assert attributes == {"triton.model_name": "ensemble", "triton.model_version": 1, "triton.request_id": "r"}
    assert (root.resource["service.name"], root.resource["test.key"]) == ("tested", "test.value")
    assert root.start_ns <= model.start_ns <= model.end_ns <= root.end_ns


def test_steps_of_a_plugin_reach_a_collector(exporting_server, collector, plugin_models):
    server = exporting_server(models=plugin_models)
    assert ask_for_steps(server, "grpc") == "true"
    spans = {span.name: span for span in collector.spans(7)}
    above = {name: [other.name for other in spans.values() if other.id == span.parent_id] for name, span in spans.items()}
    assert (above["outer"], above["inner"], above["open"]) == (["compute"], ["outer"], ["compute"])
    assert spans["outer"].attributes == {"number": 3, "word": "x", "sure": True}
    assert spans["outer"].events == ["half"] and spans["inner"].attributes == {"share": 0.5}
    assert spans["compute"].start_ns <= spans["outer"].start_ns <= spans["inner"].start_ns
    assert spans["inner"].end_ns <= spans["outer"].end_ns <= spans["compute"].end_ns


def test_a_rate_of_0_traces_only_what_is_continued(exporting_server, collector):
    server = exporting_server("rate=0")
    infer(server, "http", times=3)
    infer(server, "http", headers={"traceparent": CONTEXT})
    stop(server)
    roots = [span for span in collector.spans(3) if span.name == "InferRequest"]
    assert [root.trace_id for root in roots] == [CONTEXT.split("-")[1]]


def test_settings_of_a_collector_are_shown(exporting_server, collector):
    shown = Settings("http", exporting_server()).get()
    assert shown == {
        "trace_level": ["TIMESTAMPS"],
        "trace_rate": "1",
        "trace_count": "-1",
        "trace_mode": "opentelemetry",
        "url": collector.url,
        "resource": "service.name=tested",
        "bsp_max_queue_size": "2048",
        "bsp_schedule_delay": "10",
        "bsp_max_export_batch_size": "512",
    }


def test_a_collector_that_is_away_costs_no_request(start_server, repository):
    settings = ("mode=opentelemetry", "level=TIMESTAMPS", "rate=1", "opentelemetry,url=127.0.0.1:9/v1/traces")
    server = start_server(repository, *(f"--trace-config={setting}" for setting in settings))
    infer(server, "grpc", times=20)
    stop(server)
    assert "spans are lost, the collector at 'http://127.0.0.1:9/v1/traces' did not take them" in server.log_text()


def test_what_is_no_setting_is_refused_at_the_start(binary):
    command = [binary, "serve", "--model-repository=model_repository", "--trace-config=speed=1"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert ended.stderr == "error: --trace-config=speed=1: expected mode, level, rate or count\n"
