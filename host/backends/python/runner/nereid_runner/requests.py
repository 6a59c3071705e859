"""Requests: those that the server hands to `execute`, and those that a model makes of other models (BLS)."""

import json

from nereid_runner.errors import TritonModelException
from nereid_runner.host import HOST
from nereid_runner.responses import (
    COMPLETE_FINAL,
    InferenceResponse,
    InferenceResponseSender,
    checked_tensors,
    parameters_text,
)
from nereid_runner.tensors import Tensor
from nereid_runner.wire import Payload

RELEASE_ALL, RELEASE_RESCHEDULE = 1, 2
MEMORY_CPU, MEMORY_GPU = 0, 2


class PreferredMemory:
    """Where outputs should be; here they always are in the memory of the CPU."""

    def __init__(self, preferred_memory_type: int, preferred_device_id: int = 0):
        self.preferred_memory_type, self.preferred_device_id = preferred_memory_type, preferred_device_id


class InferenceTrace:
    """Ties a model's own requests to the trace of the request that it serves."""

    def __init__(self, slot: int = 0, context: str = ""):
        self.slot, self._context = slot, context

    def get_context(self) -> str | None:
        return self._context or None


class InferenceRequest:
    """`InferenceRequest(model_name, requested_output_names, inputs, …).exec()`, or one that came."""

    # What most requests have; a sender is made for those who ask for it.
    _model, _version, _slot, _release, _trace = "", -1, 0, RELEASE_ALL, None
    _decoupled, _sender, _returned, _is_closed = None, None, 0, False

    def __init__(
        self,
        request_id: str = "",
        correlation_id: int | str = 0,
        inputs=None,
        requested_output_names=None,
        model_name: str | None = None,
        model_version: int = -1,
        flags: int = 0,
        timeout: int = 0,
        preferred_memory: PreferredMemory | None = None,
        trace: InferenceTrace | None = None,
        parameters: dict | None = None,
    ):
        for name, given in (("inputs", inputs), ("requested_output_names", requested_output_names), ("model_name", model_name)):
            if given is None:
                raise TypeError(f"InferenceRequest needs '{name}'")
        if not isinstance(correlation_id, (int, str)):
            raise TritonModelException("Correlation ID must be integer or string")
        asked = f"for request with id '{request_id}' and model name '{model_name}'"
        self._inputs = checked_tensors(inputs, f"Input tensor {asked}")
        if not all(requested_output_names):
            raise TritonModelException(f"Requested output name {asked} should not be empty.")
        self._id, self._correlation = request_id, correlation_id
        self._wanted, self._model, self._version = list(requested_output_names), model_name, int(model_version)
        self._flags, self._timeout, self._trace = int(flags), int(timeout), trace or InferenceTrace()
        self._parameters = parameters_text(parameters)

    @classmethod
    def from_wire(cls, row: list, payload: memoryview, decoupled: bool):
        request = cls.__new__(cls)
        request._slot, request._id, request._correlation, request._flags, request._timeout, parameters, wanted, inputs = row
        request._decoupled, request._wanted = decoupled, wanted
        request._parameters = json.dumps(parameters) if parameters else ""
        request._inputs = [Tensor.from_wire(tensor, payload) for tensor in inputs]
        return request

    def inputs(self) -> list:
        return self._inputs

    def request_id(self) -> str:
        return self._id

    def correlation_id(self) -> int | str:
        return self._correlation

    def flags(self) -> int:
        return self._flags

    def set_flags(self, flags: int):
        self._flags = int(flags)

    def timeout(self) -> int:
        return self._timeout

    def parameters(self) -> str:
        return self._parameters

    def requested_output_names(self) -> list:
        return self._wanted

    def preferred_memory(self) -> PreferredMemory:
        return PreferredMemory(MEMORY_CPU)

    def trace(self) -> InferenceTrace:
        return self._trace or InferenceTrace(self._slot)

    def is_cancelled(self) -> bool:
        return self.get_response_sender().is_cancelled()

    def get_response_sender(self) -> InferenceResponseSender:
        if self._decoupled is None:
            raise TritonModelException("only a request that came from the server has a response sender")
        if self._sender is None:
            made = InferenceResponseSender(self._slot, self._wanted, self._decoupled, self._returned, self._is_closed)
            # Atomic: of two threads that ask at once both get the first one.
            self.__dict__.setdefault("_sender", made)
        return self._sender

    def answered(self, response):
        """`execute` returned this response; refused when the sender has sent one already."""
        if self._sender is not None:
            self._sender.count(response, COMPLETE_FINAL)
        self._returned, self._is_closed = 1, True

    def close(self):
        """Nothing may be sent any more; the host knows."""
        self._is_closed = True
        if self._sender is not None:
            self._sender.close()

    def set_release_flags(self, flags: int):
        if flags not in (RELEASE_ALL, RELEASE_RESCHEDULE):
            raise TritonModelException(f"Unsupported release flags {flags!r}.")
        self._release = flags

    # --- calls of other models ---

    def exec(self, decoupled: bool = False):
        header, payload = HOST.ask(*self._call(decoupled))
        return self._answer(header, payload, decoupled)

    async def async_exec(self, decoupled: bool = False):
        header, payload = HOST.checked(await HOST.ask_later(*self._call(decoupled)))
        return self._answer(header, payload, decoupled)

    def _call(self, decoupled: bool):
        if not HOST.serving:
            raise TritonModelException("BLS is only supported during the 'execute' function.")
        payload = Payload()
        header = {
            "op": "infer",
            "model": self._model,
            "version": self._version,
            "rid": self._id,
            "corr": self._correlation,
            "flags": self._flags,
            "timeout": self._timeout,
            "want": self._wanted,
            "in": [tensor.to_wire(payload) for tensor in self._inputs],
            "trace": self._trace.slot,
            "decoupled": bool(decoupled),
        }
        if self._parameters:
            header["p"] = json.loads(self._parameters)
        return header, payload

    @staticmethod
    def _answer(header: dict, payload: memoryview, decoupled: bool):
        if decoupled and "stream" in header:
            return ResponseIterator(header["stream"])
        response = InferenceResponse.from_wire(header["response"], payload)
        return ResponseIterator(0, response) if decoupled else response



class ResponseIterator:
    """The responses of a model that gives any number; each is fetched when it is asked for."""

    def __init__(self, stream: int, only: InferenceResponse | None = None):
        self._stream, self._only, self._ended = stream, only, False

    def __iter__(self):
        return self

    def __next__(self) -> InferenceResponse:
        if self._only is not None:
            only, self._only, self._ended = self._only, None, True
            return only
        if self._ended:
            raise StopIteration
        header, payload = HOST.ask({"op": "next", "stream": self._stream})
        return self._received(header, payload)

    def __aiter__(self):
        return self

    async def __anext__(self) -> InferenceResponse:
        if self._only is not None or self._ended:
            try:
                return self.__next__()
            except StopIteration:
                raise StopAsyncIteration from None
        return self._received(*HOST.checked(await HOST.ask_later({"op": "next", "stream": self._stream})))

    def _received(self, header: dict, payload: memoryview) -> InferenceResponse:
        self._ended = header["last"]
        # The last one may be empty, as Triton's is.
        return InferenceResponse.from_wire(header["response"], payload)

    def cancel(self):
        """Nobody wants the rest: the other model sees that its client is gone."""
        if self._stream and not self._ended:
            self._ended = True
            HOST.tell({"op": "close", "stream": self._stream})

    def __del__(self):
        try:
            self.cancel()
        except Exception:
            pass  # the host is gone
