"""Answers of models, and the sender that gives them early, late, or many times."""

import json
import threading

from nereid_runner.errors import TritonError, TritonModelException
from nereid_runner.host import HOST
from nereid_runner.tensors import Tensor
from nereid_runner.wire import Gone, Payload

COMPLETE_FINAL = 1


def parameters_text(parameters) -> str:
    """The parameters of a response or of a request, checked, as JSON."""
    if not parameters:
        return ""
    if not isinstance(parameters, dict):
        raise TritonModelException(f"Expect parameters to have type dict, found type {type(parameters)}")
    for key, value in parameters.items():
        if not isinstance(key, str):
            raise TritonModelException(f"Expect parameters keys to have type str, found type {type(key)}")
        if not isinstance(value, (bool, int, str)):
            raise TritonModelException(f"Expect parameters values to have type bool/int/str, found type {type(value)}")
    return json.dumps(parameters)


def checked_tensors(tensors, whose: str) -> list:
    tensors = list(tensors)
    for tensor in tensors:
        if tensor is None:
            raise TritonModelException(f"{whose} should not be empty.")
        if not isinstance(tensor, Tensor):
            raise TypeError(f"expected objects of pb_utils.Tensor, found type {type(tensor)}")
    return tensors


class InferenceResponse:
    """`InferenceResponse(output_tensors, error, parameters)`."""

    def __init__(self, output_tensors=(), error: TritonError | None = None, parameters: dict | None = None):
        self._tensors = checked_tensors(output_tensors, "Output tensor for inference response")
        if error is not None and not isinstance(error, TritonError):
            raise TypeError(f"expected the error as pb_utils.TritonError, found type {type(error)}")
        self._error, self._parameters = error, parameters_text(parameters)

    def output_tensors(self) -> list:
        return self._tensors

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error

    def parameters(self) -> str:
        return self._parameters

    def to_wire(self, wanted, payload: Payload) -> dict:
        if self._error is not None:
            return {"e": [self._error.code(), self._error.message()]}
        sent = [tensor.to_wire(payload) for tensor in self._tensors if not wanted or tensor.name() in wanted]
        row = {"o": sent}
        if self._parameters:
            row["p"] = json.loads(self._parameters)
        return row

    @classmethod
    def from_wire(cls, row: dict, payload: memoryview):
        if row.get("e"):
            code, message = row["e"]
            return cls(error=TritonError(message, code))
        response = cls([Tensor.from_wire(tensor, payload) for tensor in row.get("o", ())])
        response._parameters = json.dumps(row["p"]) if row.get("p") else ""
        return response


class InferenceResponseSender:
    """Sends any number of responses of one request, from any thread, also after `execute` has returned."""

    def __init__(self, slot: int, wanted, decoupled: bool, sent: int, is_closed: bool):
        self._slot, self._wanted, self._decoupled = slot, wanted, decoupled
        self._sent, self._closed, self._kept = sent, is_closed, False
        self._lock = threading.Lock()

    def send(self, response: InferenceResponse | None = None, flags: int = 0):
        if flags not in (0, COMPLETE_FINAL):
            raise TritonModelException("Unable to send response. Unsupported flag provided.")
        if not flags and response is None:
            raise TritonModelException(
                "Inference Response object must be provided when the response flags is set to zero."
            )
        with self._lock:
            self.count(response, flags)
            payload, row = Payload(), None
            if response is not None:
                row = response.to_wire(self._wanted, payload)
            # Within the lock: responses of two threads arrive in the order in which they were counted.
            HOST.ask({"op": "send", "slot": self._slot, "final": bool(flags), "response": row}, payload)

    def count(self, response, flags: int):
        """Keeps account of what is sent; refuses what must not be."""
        if not self._decoupled:
            if response is not None and self._sent:
                raise TritonModelException(
                    "Unable to send response. Non-decoupled model cannot send more than one response."
                )
            if response is None and not self._sent:
                raise TritonModelException(
                    "Unable to send response. Non-decoupled model cannot send complete final before sending a response."
                )
        if self._closed:
            raise TritonModelException("Unable to send response. Response sender has been closed.")
        self._closed = bool(flags)
        self._sent += 1

    def is_cancelled(self) -> bool:
        header, _ = HOST.ask({"op": "cancelled", "slot": self._slot})
        return bool(header["value"])

    def close(self):
        """Nothing may be sent any more; the host knows."""
        self._closed = True

    def keep(self):
        """The request goes on after `execute`: the host hears when the model forgets it."""
        self._kept = True

    def __del__(self):
        if self._kept and not self._closed:
            try:
                HOST.tell({"op": "drop", "slot": self._slot})
            except (Gone, OSError):
                pass  # the host is gone, and with it the request
