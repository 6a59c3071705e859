"""Triton's Python models, unchanged: what `model.py` may use, and what becomes of one that misbehaves."""

import json
import os

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc
from clients import PROTOCOLS, Client
from python_models import INPUT, INTERPRETER, ONE_TO_ONE, OUTPUT, execute, parameters, write_python
from repository import DATA_TYPES, tensors
from server import Server
from streams import Stream, wait_until
from tritonclient.utils import InferenceServerException

X = np.array([1, 2, 3], np.float32)

# Changes its input in place, as many models do.
SCALE = """
def initialize(self, args):
    config = json.loads(args["model_config"])
    output = pb_utils.get_output_config_by_name(config, "Y")
    assert pb_utils.get_output_config_by_name(config, "Z") is None
    assert pb_utils.get_input_config_by_name(config, "X")["dims"] == [-1]
    self.dtype = pb_utils.triton_string_to_numpy(output["data_type"])
    self.name = args["model_instance_name"]
    assert args["model_name"] in self.name and args["model_version"] == "1" and args["model_instance_kind"] == "CPU"
    assert pb_utils.get_model_dir() == os.path.dirname(os.path.abspath(__file__))

def execute(self, requests):
    responses = []
    for request in requests:
        x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
        x *= 2
        responses.append(pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("Y", x.astype(self.dtype))]))
    return responses
"""

# One input and one output of each type; what came goes back.
ALL_TYPES = """
def execute(self, requests):
    answers = []
    for request in requests:
        (x,) = request.inputs()
        kind, name = x.triton_dtype(), x.name().replace("X", "Y")
        if kind == 14:
            y = pb_utils.Tensor.from_dlpack(name, x)
        else:
            y = pb_utils.Tensor(name, x.as_numpy().copy())
        assert list(y.shape()) == list(x.shape()) and y.triton_dtype() == kind and y.is_cpu()
        answers.append(pb_utils.InferenceResponse([y]))
    return answers
"""

TELLS = """
def execute(self, requests):
    answers = []
    for request in requests:
        said = {
            "id": request.request_id(), "corr": request.correlation_id(), "flags": request.flags(),
            "timeout": request.timeout(), "parameters": json.loads(request.parameters() or "{}"),
            "wanted": sorted(request.requested_output_names()), "cancelled": request.is_cancelled(),
        }
        text = np.array([json.dumps(said).encode()], dtype=np.object_)
        answers.append(pb_utils.InferenceResponse(
            [pb_utils.Tensor("Y", text), pb_utils.Tensor("Z", text)], parameters={"a": 1, "b": True, "c": "x"}))
    return answers
"""

RAISES = """
def execute(self, requests):
    kind = int(requests[0].inputs()[0].as_numpy()[0])
    if kind == 0:
        return [pb_utils.InferenceResponse(error=pb_utils.TritonError("not me", pb_utils.TritonError.NOT_FOUND))]
    if kind == 1:
        raise ValueError("seven")
    if kind == 2:
        return [None, None]
    if kind == 3:
        return "text"
    if kind == 4:
        return ["text"]
    if kind == 5:
        raise pb_utils.TritonModelException("by hand")
    if kind == 6:
        return [pb_utils.InferenceResponse([pb_utils.Tensor("NONE", np.zeros(1, np.float32))])]
    if kind == 7:
        return [pb_utils.InferenceResponse(parameters={"a": 1.5})]
    if kind == 8:
        return None
    if kind == 9:
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.zeros(1, np.complex64))])]
"""

ENDS = """
def execute(self, requests):
    kind = int(requests[0].inputs()[0].as_numpy()[0])
    if kind == 1:
        print("about to end", flush=True)
        os._exit(3)
    if kind == 2:
        import ctypes
        ctypes.string_at(0)
    if kind == 3:
        os.kill(os.getpid(), 9)
    if kind == 4:
        while True:
            time.sleep(1)
    return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", requests[0].inputs()[0].as_numpy())])]
"""

LIFE = """
def initialize(self, args):
    self.marks = json.loads(args["model_config"])["parameters"]["marks"]["string_value"]

def execute(self, requests):
    return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([os.getpid()], np.float32))]) for _ in requests]

def finalize(self):
    with open(self.marks, "w") as file:
        file.write(str(os.getpid()))
"""

LOGS = """
def execute(self, requests):
    print("said on stdout")
    print("said on stderr", file=sys.stderr)
    pb_utils.Logger.log_warn("said by the logger")
    pb_utils.Logger.log("and as info", pb_utils.Logger.INFO)
    return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", requests[0].inputs()[0].as_numpy())])]
"""


def write_models(models):
    write_python(models, "scale", SCALE)
    batching = "max_batch_size: 8\ndynamic_batching { max_queue_delay_microseconds: 100000 }\n"
    write_python(models, "batched", execute("y = np.full_like(x, len(requests))"), batching + ONE_TO_ONE)
    inputs = tensors("input", *((f"X_{name}", data_type, "-1, 2") for name, data_type in DATA_TYPES.items()))
    outputs = tensors("output", *((f"Y_{name}", data_type, "-1, 2") for name, data_type in DATA_TYPES.items()))
    write_python(models, "types", ALL_TYPES, inputs.replace(" }", " optional: true }") + outputs)
    texts = tensors("output", ("Y", "TYPE_STRING", "1"), ("Z", "TYPE_STRING", "1"))
    write_python(models, "tells", TELLS, "sequence_batching { }\n" + INPUT + texts)
    write_python(models, "raises", RAISES)
    write_python(models, "wrong_type", execute("y = x.astype(np.float64)"))
    write_python(models, "logs", LOGS)
    # Nothing but a file: the model says the rest.
    folder = models / "completed" / "1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(COMPLETED)


COMPLETED = '''
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "X", "data_type": "TYPE_INT32", "dims": [-1]})
        config.add_output({"name": "Y", "data_type": "TYPE_INT32", "dims": [-1]})
        config.set_max_batch_size(4)
        config.set_dynamic_batching()
        return config

    def execute(self, requests):
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("Y", request.inputs()[0].as_numpy() + np.int32(1))])
            for request in requests
        ]
'''


@pytest.fixture(scope="module")
def python_server(binary, tmp_path_factory):
    models = tmp_path_factory.mktemp("python")
    write_models(models)
    with Server(binary, tmp_path_factory.mktemp("python_server") / "log", [models], INTERPRETER) as running:
        yield running
        running.terminate()
        assert running.wait() == 0, running.log_text()[-4000:]


@pytest.fixture(params=PROTOCOLS)
def python_client(request, python_server):
    connected = Client(request.param, python_server)
    yield connected
    connected.close()


@pytest.fixture
def own_server(start_server, tmp_path):
    """A server of models of the test's own: (name, body, configuration)."""

    def start(*models, flags=()):
        folder = tmp_path / "models"
        for name, body, *config in models:
            write_python(folder, name, body, *config)
        return start_server(folder, INTERPRETER, *flags)

    return start


def ask(client, model: str, x=X, data_type: str = "FP32", **options):
    return client.infer(model, client.input("X", np.asarray(x), data_type), **options).as_numpy("Y")


def number(client, model: str, value: float, **options):
    return ask(client, model, np.array([value], np.float32), **options)


def refusal(client, model: str, value: float) -> str:
    with pytest.raises(InferenceServerException) as refused:
        number(client, model, value)
    return refused.value.message()


def test_a_model_is_told_who_it_is_and_answers(python_client):
    np.testing.assert_array_equal(ask(python_client, "scale"), X * 2)
    # Beyond what fits into a frame: through a memory file, in both directions.
    large = np.arange(3_000_000, dtype=np.float32)
    np.testing.assert_array_equal(ask(python_client, "scale", large), large * 2)
    assert ask(python_client, "scale", np.zeros(0, np.float32)).shape == (0,)


@pytest.mark.parametrize("name", DATA_TYPES)
def test_every_type_reaches_a_model_and_comes_back(python_client, name):
    if name == "BYTES":
        x = np.array([[b"", b"one"], ["zwölf".encode(), bytes(range(256))]], dtype=np.object_)
    elif name == "BF16":
        x = np.array([[1.5, -2.0], [0.0, 3.0e38]], ml_dtypes.bfloat16)
    else:
        numpy_type = {"BOOL": bool, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64}.get(name, name.lower())
        x = np.array([[0, 1], [1, 100]]).astype(numpy_type)
    answered = python_client.infer("types", python_client.input(f"X_{name}", x, name)).as_numpy(f"Y_{name}")
    np.testing.assert_array_equal(answered, x)


def test_requests_of_a_batch_come_together(python_server):
    with Stream(python_server) as stream:
        for _ in range(4):
            stream.send("batched", [stream_input([[1.0]])])
        assert {float(stream.next().as_numpy("Y")[0][0]) for _ in range(4)} == {4.0}


def stream_input(values):
    array = np.array(values, np.float32)
    given = tritonclient.grpc.InferInput("X", list(array.shape), "FP32")
    given.set_data_from_numpy(array)
    return given


def test_a_model_sees_what_the_request_says(python_client):
    options = {"sequence_id": 7, "sequence_start": True, "sequence_end": True, "timeout": 5_000_000}
    result = python_client.infer(
        "tells",
        python_client.input("X", X, "FP32"),
        outputs=[python_client.output("Y")],
        request_id="me",
        parameters={"who": "a client", "many": 3},
        **options,
    )
    said = json.loads(result.as_numpy("Y")[0])
    expected = {"id": "me", "corr": 7, "flags": 3, "timeout": 5_000_000, "wanted": ["Y"], "cancelled": False}
    assert said == expected | {"parameters": {"who": "a client", "many": 3}}
    assert result.as_numpy("Z") is None
    response = result.get_response()
    if python_client.protocol == "grpc":
        assert response.parameters["a"].int64_param == 1 and response.parameters["b"].bool_param
        assert response.parameters["c"].string_param == "x"
    else:
        assert {key: response["parameters"][key] for key in "abc"} == {"a": 1, "b": True, "c": "x"}


def test_a_model_completes_its_configuration(python_client):
    np.testing.assert_array_equal(ask(python_client, "completed", np.array([[1, 2]], np.int32), "INT32"), [[2, 3]])
    config = python_client.config("completed")
    assert config["max_batch_size"] == 4 and "dynamic_batching" in config
    assert config["backend"] == "python"


FAILED = "Failed to process the request(s) for model 'raises_0', message: "


@pytest.mark.parametrize(
    "kind, expected",
    [
        (0, "not me"),
        (1, FAILED + "ValueError: seven\n\nAt:\n  "),
        (2, FAILED + "Number of InferenceResponse objects do not match the number of InferenceRequest objects. "
            "InferenceRequest(s) size is:1, and InferenceResponse(s) size is:2\n"),
        (3, FAILED + "Expected a list in the execute return, found type '<class 'str'>'."),
        (4, FAILED + "Expected an 'InferenceResponse' object in the execute function return list, found type '<class 'str'>'."),
        (5, FAILED + "TritonModelException: by hand"),
        (6, "unexpected inference output 'NONE' for model 'raises'"),
        (7, FAILED + "TritonModelException: Expect parameters values to have type bool/int/str, found type <class 'float'>"),
        (8, "model 'raises' dropped the request without a response"),
        (9, FAILED + "TritonModelException: Tensor 'Y' has the numpy type complex64"),
    ],
)
def test_a_mistake_of_a_model_is_told_in_tritons_words(python_client, kind, expected):
    assert expected in refusal(python_client, "raises", kind)


def test_the_code_of_a_models_error_is_the_clients(python_server):
    body = json.dumps({"inputs": [{"name": "X", "datatype": "FP32", "shape": [1], "data": [0]}]}).encode()
    answer = python_server.request("POST", "/v2/models/raises/infer", body)
    assert (answer.status, json.loads(answer.body)) == (404, {"error": "not me"})


def test_another_type_than_the_configurations_passes_and_is_told(python_server, python_client):
    assert ask(python_client, "wrong_type").dtype == np.float64
    text = "model 'wrong_type': output 'Y' is FP64, and its configuration says FP32; clients get FP64"
    assert python_server.log_text().count(text) == 1


def test_what_a_model_says_is_in_the_log(python_server, python_client):
    ask(python_client, "logs")
    for text in ("said on stdout", "said on stderr", "said by the logger", "and as info"):
        wait_until(lambda text=text: text in python_server.log_text())
    lines = [line for line in python_server.log_text().splitlines() if "said by the logger" in line]
    assert all("logs:1" in line for line in lines), lines


# --- processes that end ---


@pytest.mark.parametrize(
    "kind, expected",
    [(1, "it exited with code 3; its last lines: about to end"), (2, "signal 11"), (3, "signal 9")],
)
def test_a_process_that_ends_fails_its_batch_and_is_started_again(own_server, kind, expected):
    server = own_server(("ends", ENDS))
    client = Client("http", server)
    assert number(client, "ends", 5) == [5]
    text = refusal(client, "ends", kind)
    assert text.startswith("the Python process of 'ends_0' ended: ") and expected in text
    # The batch that comes next waits for the new process, or is told when there will be one.
    wait_until(lambda: answers(client, "ends"))
    assert server.get("/v2/models/ends/ready").status == 200
    client.close()


def answers(client, model: str) -> bool:
    try:
        return number(client, model, 5) == [5]
    except InferenceServerException as error:
        assert "is started again in" in error.message(), error
        return False


def test_a_process_that_goes_on_ending_is_started_ever_later(own_server):
    server = own_server(("ends", ENDS))
    client = Client("http", server)
    for _ in range(5):
        wait_until(lambda: answers(client, "ends"))
        refusal(client, "ends", 1)
    # After some ends in a row there is a pause, in which the model is not ready and says why.
    wait_until(lambda: "is started again in" in refusal_or_nothing(client, "ends"))
    assert server.get("/v2/models/ends/ready").status == 400
    assert server.get("/v2/health/live").status == 200
    client.close()


def refusal_or_nothing(client, model: str) -> str:
    try:
        number(client, model, 1)
        return ""
    except InferenceServerException as error:
        return error.message()


def test_a_model_that_hangs_is_ended_at_its_deadline(own_server):
    server = own_server(("ends", ENDS), flags=["--limit=python-execute=500ms"])
    client = Client("http", server)
    text = refusal(client, "ends", 4)
    assert "an execution took longer than 500ms (--limit python-execute); its process was ended" in text
    wait_until(lambda: answers(client, "ends"))
    client.close()


def test_every_instance_is_a_process_of_its_own(own_server):
    pid = execute("time.sleep(0.05)\ny = np.array([os.getpid() % 65536], np.float32)")
    server = own_server(("pids", pid, ONE_TO_ONE + "instance_group { count: 3 kind: KIND_CPU }\n"))
    with Stream(server) as stream:
        for _ in range(12):
            stream.send("pids", [stream_input([1.0])])
        found = {float(stream.next().as_numpy("Y")[0]) for _ in range(12)}
    assert len(found) == 3


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_unloading_has_the_model_finish_and_ends_its_process(own_server, tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    config = ONE_TO_ONE + parameters(marks=marks / "finalized", python_write_paths=marks)
    server = own_server(("life", LIFE, config), flags=["--model-control-mode=explicit", "--load-model=life"])
    client = Client("http", server)
    number(client, "life", 1)
    client.raw.unload_model("life")
    wait_until(lambda: (marks / "finalized").exists() and (marks / "finalized").read_text())
    pid = int((marks / "finalized").read_text())
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"))
    client.close()
    server.terminate()
    assert server.wait() == 0


def test_no_process_outlives_a_server_that_is_killed(own_server, tmp_path):
    server = own_server(("pid", execute("y = np.array([os.getpid() // 4096, os.getpid() % 4096], np.float32)")))
    client = Client("http", server)
    high, low = ask(client, "pid")
    client.close()
    pid = int(high) * 4096 + int(low)
    assert is_running(pid)
    server.kill()
    wait_until(lambda: not is_running(pid))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("def broken(:\n", "SyntaxError"),
        ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("x = 1\n", "has no class TritonPythonModel"),
        ("class TritonPythonModel:\n    def initialize(self, args):\n        raise RuntimeError('no weights')\n", "RuntimeError: no weights"),
        ("import os\nos._exit(9)\n", "it exited with code 9"),
        (None, "model.py"),
    ],
)
def test_a_model_that_cannot_be_loaded_says_why(own_server, tmp_path, text, expected):
    server = own_server(("good", SCALE), flags=["--model-control-mode=explicit", "--load-model=good"])
    write_python(tmp_path / "models", "bad", "pass")
    file = tmp_path / "models/bad/1/model.py"
    file.unlink() if text is None else file.write_text(text)
    client = Client("http", server)
    with pytest.raises(InferenceServerException) as refused:
        client.raw.load_model("bad")
    assert expected in refused.value.message()
    np.testing.assert_array_equal(ask(client, "good"), X * 2)
    client.close()


def test_a_missing_interpreter_is_one_line_that_says_what_to_do(start_server, tmp_path):
    write_python(tmp_path / "models", "m", SCALE)
    flags = ("--backend-config=python,python-executable=/no/such/python", "--strict-readiness=false", "--exit-on-error=false")
    server = start_server(tmp_path / "models", *flags)
    wait_until(lambda: "there is no program '/no/such/python': install one (apt-get install python3-numpy)" in server.log_text())
