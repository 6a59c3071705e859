"""gRPC streams for tests: requests go out, responses come in a queue; and the decoupled models that answer them."""

import json
import pathlib
import queue
import time

import numpy as np
import tritonclient.grpc
from repository import tensors, write_model

WAIT_SECONDS_MAX = 120

DECOUPLED = "model_transaction_policy { decoupled: true }\n"
REPEAT_INPUTS = tensors("input", ("IN", "TYPE_INT32", "-1"), ("DELAY", "TYPE_UINT32", "-1"), ("WAIT", "TYPE_UINT32", "1"))
ONE_OUTPUT = tensors("output", ("OUT", "TYPE_INT32", "1"))
# So long that nobody waits for it.
NEVER_MILLISECONDS = 3_600_000


def write_repeat(models: pathlib.Path, name: str = "repeat_int32"):
    outputs = tensors("output", ("OUT", "TYPE_INT32", "1"), ("IDX", "TYPE_UINT32", "1"))
    write_model(models, name, 'backend: "repeat"\n' + DECOUPLED + REPEAT_INPUTS + outputs)


def write_square(models: pathlib.Path, name: str = "square_int32", more: str = ""):
    write_model(models, name, 'backend: "square"\n' + DECOUPLED + tensors("input", ("IN", "TYPE_INT32", "1")) + ONE_OUTPUT + more)


def tensor(name: str, values, data_type: str):
    array = np.array(values, {"INT32": np.int32, "UINT32": np.uint32}[data_type])
    given = tritonclient.grpc.InferInput(name, list(array.shape), data_type)
    given.set_data_from_numpy(array)
    return given


def repeat_inputs(elements, delays=None, wait: int = 0):
    delays = [0] * len(elements) if delays is None else delays
    return [tensor("IN", elements, "INT32"), tensor("DELAY", delays, "UINT32"), tensor("WAIT", [wait], "UINT32")]


def is_final(result) -> bool:
    return result.get_response().parameters["triton_final_response"].bool_param


class Stream:
    """One stream of one client. Use as a context manager; leaving it finishes what is under way."""

    def __init__(self, server):
        self.answers = queue.Queue()
        self.client = tritonclient.grpc.InferenceServerClient(server.grpc_url)
        self.client.start_stream(callback=lambda result, error: self.answers.put((result, error)))

    def send(self, model: str, inputs, **options):
        self.client.async_stream_infer(model, inputs, **options)

    def next(self):
        """The next response; an error is raised."""
        result, error = self.answers.get(timeout=WAIT_SECONDS_MAX)
        if error:
            raise error
        return result

    def ask(self, model: str, inputs, **options) -> list:
        """Every response to one request, the empty final one left out."""
        self.send(model, inputs, enable_empty_final_response=True, **options)
        found = []
        while True:
            result = self.next()
            if result.get_response().outputs:
                found.append(result)
            if is_final(result):
                return found

    def cancel(self):
        self.client.stop_stream(cancel_requests=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()


def statistics(server, model: str) -> dict:
    return json.loads(server.get(f"/v2/models/{model}/stats").body)["model_stats"][0]


def response_counts(server, model: str) -> dict[str, dict[str, int]]:
    """How often each thing happened to the responses of each index."""
    rows = statistics(server, model)["response_stats"]
    return {index: {kind: row[kind]["count"] for kind in row if row[kind]["count"]} for index, row in rows.items()}


def wait_until(condition):
    """Asks until it is so."""
    end = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < end, f"not so after {WAIT_SECONDS_MAX} s"
        time.sleep(0.01)
