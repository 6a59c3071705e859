"""What Python models do besides answering: responses of their own, other models, metrics, model control, readiness."""

import json

import numpy as np
import pytest
from clients import Client
from python_models import INPUT, INTERPRETER, ONE_TO_ONE, OUTPUT, execute, write_python
from repository import identity, tensors, write_identity_models, write_model
from server import Server
from streams import DECOUPLED, Stream, wait_until, write_repeat
from test_python_backend import ask, number, refusal, stream_input
from tritonclient.utils import InferenceServerException

RESPOND = 'pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([{}], np.float32))])'

# As many responses as the input says, from a thread, after `execute` has returned.
COUNTS = f"""
def execute(self, requests):
    for request in requests:
        thread = threading.Thread(target=self.count, args=(request.get_response_sender(), int(request.inputs()[0].as_numpy()[0])))
        thread.start()
    return None

def count(self, sender, count):
    for index in range(count):
        sender.send({RESPOND.format("index")})
    sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    try:
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    except pb_utils.TritonModelException as error:
        assert str(error) == "Unable to send response. Response sender has been closed.", error
"""

COROUTINE = f"""
async def execute(self, requests):
    import asyncio
    for request in requests:
        await asyncio.sleep(0)
        sender = request.get_response_sender()
        for index in range(int(request.inputs()[0].as_numpy()[0])):
            sender.send({RESPOND.format("index")})
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""

# Streams until its client is gone, and says how many it sent.
ENDLESS = f"""
def execute(self, requests):
    (request,) = requests
    threading.Thread(target=self.stream, args=(request.get_response_sender(),)).start()

def stream(self, sender):
    while not sender.is_cancelled():
        sender.send({RESPOND.format("1")})
    sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    print("nobody listens any more")
"""

LATE = f"""
def execute(self, requests):
    for request in requests:
        threading.Timer(0.05, self.answer, [request.get_response_sender()]).start()
    return [None for _ in requests]

def answer(self, sender):
    sender.send({RESPOND.format("42")}, pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""

RETURNS_WHILE_DECOUPLED = f"""
def execute(self, requests):
    return [{RESPOND.format("1")}]
"""

CALL = """
def call(self, model, x, name="INPUT0", wanted="OUTPUT0", **options):
    return pb_utils.InferenceRequest(
        model_name=model, requested_output_names=[wanted] if wanted else [], inputs=[pb_utils.Tensor(name, x)], **options)
"""

CALLS = CALL + execute("""
answer = self.call("identity_fp32", x).exec()
assert not answer.has_error(), answer.error().message()
y = pb_utils.get_output_tensor_by_name(answer, "OUTPUT0").as_numpy() + 1
missing = self.call("nowhere", x).exec()
assert missing.has_error() and missing.error().code() == pb_utils.TritonError.NOT_FOUND, missing.error().code()
assert "unknown model: 'nowhere'" in missing.error().message(), missing.error().message()
wrong = self.call("identity_fp32", x.astype(np.int32)).exec()
assert wrong.error().code() == pb_utils.TritonError.INVALID_ARG
itself = self.call("calls", x, "X", "Y").exec()
assert "waits for this call itself" in itself.error().message(), itself.error().message()
""")

CALLS_ASYNC = CALL + """
async def execute(self, requests):
    import asyncio
    responses = []
    for request in requests:
        x = request.inputs()[0].as_numpy()
        answers = await asyncio.gather(*(self.call("identity_fp32", x * factor).async_exec() for factor in range(4)))
        y = sum(answer.output_tensors()[0].as_numpy() for answer in answers)
        responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", y)]))
    return responses
"""

# Small answers go behind their headers and large ones into files of their own; many of both are under way at once.
CALLS_MIXED = CALL + """
async def execute(self, requests):
    import asyncio
    sizes = [1, 40_000, 2, 30_000] * 8
    asked = (self.call("identity_fp32", np.full(size, size, np.float32)).async_exec() for size in sizes)
    tensors = [answer.output_tensors()[0].as_numpy() for answer in await asyncio.gather(*asked)]
    found = [tensor.size for tensor in tensors if np.all(tensor == tensor.size)]
    y = pb_utils.Tensor("Y", np.array([found == sizes], np.float32))
    return [pb_utils.InferenceResponse([y]) for _ in requests]
"""

CALLS_STREAM = """
def execute(self, requests):
    responses = []
    for request in requests:
        count = int(request.inputs()[0].as_numpy()[0])
        inputs = [
            pb_utils.Tensor("IN", np.arange(count, dtype=np.int32)), pb_utils.Tensor("DELAY", np.zeros(count, np.uint32)),
            pb_utils.Tensor("WAIT", np.zeros(1, np.uint32)),
        ]
        found = []
        iterator = pb_utils.InferenceRequest(
            model_name="repeat_int32", requested_output_names=["OUT"], inputs=inputs).exec(decoupled=True)
        for response in iterator:
            assert not response.has_error(), response.error().message()
            if response.output_tensors():
                found.append(response.output_tensors()[0].as_numpy()[0])
            if len(found) == 100:
                iterator.cancel()
        responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array(found, np.float32))]))
    return responses
"""

CALLS_EARLY = """
def initialize(self, args):
    pb_utils.InferenceRequest(model_name="identity_fp32", requested_output_names=[], inputs=[]).exec()
"""

MEASURES = """
def initialize(self, args):
    family = pb_utils.MetricFamily(name="my_requests", description="how many", kind=pb_utils.MetricFamily.COUNTER)
    self.count = family.Metric(labels={"kind": "good"})
    self.again = family.Metric(labels={"kind": "good"})
    gauges = pb_utils.MetricFamily(name="my_level", description="how high", kind=pb_utils.MetricFamily.GAUGE)
    self.level = gauges.Metric(labels={})
    times = pb_utils.MetricFamily(name="my_times", description="how long", kind=pb_utils.MetricFamily.HISTOGRAM)
    self.times = times.Metric(labels={}, buckets=[1.0, 10.0])

def execute(self, requests):
    self.count.increment(1)
    self.again.increment(1)
    self.level.set(2.5)
    self.times.observe(5)
    for wrong in (lambda: self.count.increment(-1), lambda: self.count.set(1), lambda: self.times.value()):
        try:
            wrong()
            assert False, "was not refused"
        except pb_utils.TritonModelException:
            pass
    y = np.array([self.count.value(), self.level.value()], np.float32)
    return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", y)]) for _ in requests]
"""

CONTROLS = CALL + """
def execute(self, requests):
    model = "made"
    assert not pb_utils.is_model_ready(model)
    config = json.dumps({
        "backend": "identity", "max_batch_size": 0,
        "input": [{"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [-1]}],
        "output": [{"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [-1]}],
    })
    pb_utils.load_model(model_name=model, config=config, files={"file:1/nothing": b"x"})
    assert pb_utils.is_model_ready(model_name=model) and pb_utils.is_model_ready(model, "1")
    y = self.call(model, requests[0].inputs()[0].as_numpy()).exec().output_tensors()[0]
    pb_utils.unload_model(model)
    try:
        pb_utils.unload_model("controls")
        assert False, "unloaded itself"
    except pb_utils.TritonModelException as error:
        assert "may not unload itself" in str(error)
    return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", y.as_numpy())])]
"""

CHECKS = """
def initialize(self, args):
    self.is_well = True

def is_ready(self):
    return self.is_well

def execute(self, requests):
    kind = int(requests[0].inputs()[0].as_numpy()[0])
    self.is_well = {0: False, 1: True, 2: "no boolean"}[kind]
    return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", requests[0].inputs()[0].as_numpy())])]
"""

# Counts down, one execution per step.
STEPS = f"""
def initialize(self, args):
    self.left = {{}}

def execute(self, requests):
    responses = []
    for request in requests:
        key = request.correlation_id()
        left = self.left.get(key, int(request.inputs()[0].as_numpy()[0]))
        sender = request.get_response_sender()
        sender.send({RESPOND.format("left")})
        self.left[key] = left - 1
        if left > 1:
            request.set_release_flags(pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE)
        else:
            del self.left[key]
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    return None
"""


@pytest.fixture(scope="module")
def calls_server(binary, tmp_path_factory):
    models = tmp_path_factory.mktemp("python_calls")
    write_identity_models(models)
    write_repeat(models)
    decoupled = ONE_TO_ONE + DECOUPLED
    for name, body, config in (
        ("counts", COUNTS, decoupled),
        ("coroutine", COROUTINE, decoupled),
        ("endless", ENDLESS, decoupled),
        ("returns", RETURNS_WHILE_DECOUPLED, decoupled),
        ("late", LATE, ONE_TO_ONE),
        ("calls", CALLS, ONE_TO_ONE),
        ("calls_async", CALLS_ASYNC, ONE_TO_ONE),
        ("calls_mixed", CALLS_MIXED, ONE_TO_ONE),
        ("calls_stream", CALLS_STREAM, ONE_TO_ONE),
        ("measures", MEASURES, ONE_TO_ONE),
        ("controls", CONTROLS, ONE_TO_ONE),
        ("checks", CHECKS, ONE_TO_ONE),
        ("steps", STEPS, "sequence_batching { iterative_sequence: true }\n" + decoupled),
    ):
        write_python(models, name, body, config)
    flags = ("--model-control-mode=explicit", "--load-model=*", INTERPRETER)
    with Server(binary, tmp_path_factory.mktemp("calls_server") / "log", [models], *flags) as running:
        yield running
        running.terminate()
        assert running.wait() == 0, running.log_text()[-4000:]


@pytest.fixture
def calls_client(calls_server):
    connected = Client("grpc", calls_server)
    yield connected
    connected.close()


@pytest.mark.parametrize("model", ["counts", "coroutine"])
def test_a_model_answers_any_number_of_times(calls_server, model):
    with Stream(calls_server) as stream:
        for count in (0, 1, 50):
            answers = stream.ask(model, [stream_input([count])])
            assert [float(answer.as_numpy("Y")[0]) for answer in answers] == list(range(count))


def test_a_model_sees_that_its_client_is_gone(calls_server):
    with Stream(calls_server) as stream:
        stream.send("endless", [stream_input([1.0])])
        stream.next()
        stream.cancel()
    wait_until(lambda: "nobody listens any more" in calls_server.log_text())


def test_a_decoupled_model_that_returns_responses_is_told(calls_server):
    with Stream(calls_server) as stream:
        stream.send("returns", [stream_input([1.0])])
        with pytest.raises(InferenceServerException) as refused:
            stream.next()
    assert "Python model 'returns_0' is using the decoupled mode and the execute function must return None." in str(refused.value)


def test_a_model_answers_later_from_a_thread(calls_client):
    assert number(calls_client, "late", 1) == [42]


def test_a_model_calls_others_and_reads_their_errors(calls_client):
    np.testing.assert_array_equal(ask(calls_client, "calls", np.array([1.5, 2.5], np.float32)), [2.5, 3.5])
    large = np.arange(100_000, dtype=np.float32)
    np.testing.assert_array_equal(ask(calls_client, "calls", large), large + 1)


def test_coroutines_call_several_models_at_once(calls_client):
    np.testing.assert_array_equal(ask(calls_client, "calls_async", np.ones(3, np.float32)), np.full(3, 6.0))


def test_small_and_large_answers_reach_those_who_asked(calls_client):
    for _ in range(10):
        assert number(calls_client, "calls_mixed", 0) == [1]


def test_a_stream_of_another_model_is_read_and_left(calls_client):
    for count in (0, 3):
        np.testing.assert_array_equal(number(calls_client, "calls_stream", count), np.arange(count))
    np.testing.assert_array_equal(number(calls_client, "calls_stream", 100_000), np.arange(100))


def test_calls_while_initialising_are_refused(calls_server, binary, start_server, tmp_path):
    write_python(tmp_path / "models", "early", CALLS_EARLY)
    server = start_server(tmp_path / "models", INTERPRETER, "--strict-readiness=false", "--exit-on-error=false")
    wait_until(lambda: "BLS is only supported during the 'execute' function." in server.log_text())


def test_metrics_of_a_model_are_on_the_page(calls_server, calls_client):
    first = number(calls_client, "measures", 0)
    assert first[1] == 2.5 and number(calls_client, "measures", 0)[0] == first[0] + 2
    page = calls_server.metrics()
    for line in ('my_requests{model="measures",kind="good"} ', 'my_level{model="measures"} 2.5', 'my_times_bucket{model="measures",le="10"} '):
        assert line in page, line


def test_a_model_loads_calls_and_unloads_another(calls_client):
    np.testing.assert_array_equal(ask(calls_client, "controls", np.ones(2, np.float32)), [1, 1])


def test_a_model_says_whether_it_is_ready(calls_server, calls_client):
    def status() -> int:
        return calls_server.get("/v2/models/checks/ready").status

    wait_until(lambda: status() == 200)
    for kind, expected in ((0, 400), (1, 200), (2, 400), (1, 200)):
        assert number(calls_client, "checks", kind) == [kind], "what it says changes no inference"
        wait_until(lambda expected=expected: status() == expected)
    reasons = calls_server.get("/v2/models/checks/ready")
    assert reasons.status == 200


def test_a_request_is_executed_again_until_the_model_is_done(calls_server):
    with Stream(calls_server) as stream:
        answers = stream.ask("steps", [stream_input([4.0])])
    assert [float(answer.as_numpy("Y")[0]) for answer in answers] == [4, 3, 2, 1]


def test_a_process_that_ends_fails_what_it_has_not_answered(start_server, tmp_path):
    body = (
        "def execute(self, requests):\n"
        "    if requests[0].inputs()[0].as_numpy()[0] == 1:\n"
        "        os._exit(4)\n"
        "    self.kept = [request.get_response_sender() for request in requests]\n"
        "    return None\n"
    )
    write_python(tmp_path / "models", "keeps", body, ONE_TO_ONE + DECOUPLED)
    server = start_server(tmp_path / "models", INTERPRETER)
    with Stream(server) as one, Stream(server) as other:
        one.send("keeps", [stream_input([0.0])])
        wait_until(lambda: json.loads(server.get("/v2/models/keeps/stats").body)["model_stats"][0]["execution_count"] == 1)
        other.send("keeps", [stream_input([1.0])])
        for stream in (one, other):
            with pytest.raises(InferenceServerException) as refused:
                stream.next()
            assert "it exited with code 4" in str(refused.value)
