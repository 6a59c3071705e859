"""What the server offers while the model runs: answers through senders, other models, metrics, model control, log lines.

Any thread may call. One thread reads the answers and hands each to whoever waits for it, so that a call never holds another up.
"""

import asyncio
import itertools
import os
import queue
import threading

from nereid_runner import errors
from nereid_runner.wire import Connection, Gone, Payload

# Exit code when the server is gone: nobody reads it.
ABANDONED = 70


class Host:
    """The second connection."""

    def __init__(self):
        self.connection: Connection | None = None
        self.writing = threading.Lock()
        self.waiting = {}
        self.numbers = itertools.count(1)
        self.model = None
        self.serving = False

    def start(self, connection: Connection):
        self.connection = connection
        threading.Thread(target=self._read, name="nereid-host", daemon=True).start()

    # --- calls ---

    def tell(self, header: dict):
        """Says something that has no answer."""
        if self.connection is not None:
            with self.writing:
                self.connection.send(header)

    def ask(self, header: dict, payload=None):
        """Waits for the answer: its header and its payload. What the host refuses is raised."""
        answers = queue.SimpleQueue()
        self._begin(header, payload, answers.put)
        return self.checked(answers.get())

    def ask_later(self, header: dict, payload=None) -> asyncio.Future:
        """The same for coroutines."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def settle(answer):
            if not future.cancelled():
                future.set_result(answer)

        self._begin(header, payload, lambda answer: loop.call_soon_threadsafe(settle, answer))
        return future

    def _begin(self, header: dict, payload, answered):
        if self.connection is None:
            raise errors.TritonModelException("the server cannot be asked before 'initialize' is called")
        number = next(self.numbers)
        self.waiting[number] = answered
        with self.writing:
            self.connection.send({**header, "call": number}, payload)

    @staticmethod
    def checked(answer):
        header, payload = answer
        if header.get("error"):
            raise errors.TritonModelException(header["error"])
        return header, payload

    # --- the reading thread ---

    def _read(self):
        try:
            while True:
                header, payload = self.connection.receive()
                if header["op"] == "is_ready":
                    threading.Thread(target=self._is_ready, args=(header["call"],), daemon=True).start()
                elif answered := self.waiting.pop(header["call"], None):
                    answered((header, payload))
        except Gone:
            os._exit(ABANDONED)

    def _is_ready(self, call: int):
        ready, error = False, ""
        try:
            found = self.model.is_ready()
            if asyncio.iscoroutine(found):
                found = asyncio.run(found)
            if isinstance(found, bool):
                ready = found
            else:
                error = f"is_ready() must return a boolean, found type {type(found)}"
        except BaseException as raised:
            error = errors.describe(raised)
        self.tell({"op": "readiness", "call": call, "ready": ready, "error": error})


HOST = Host()


class Logger:
    """`pb_utils.Logger`: lines in the server's log."""

    INFO, WARNING, ERROR, VERBOSE = "info", "warning", "error", "verbose"

    class LogLevel:
        INFO, WARNING, ERROR, VERBOSE = "info", "warning", "error", "verbose"

    @staticmethod
    def log(message: str, level: str = "info"):
        HOST.tell({"op": "log", "level": level, "text": str(message)})

    @staticmethod
    def log_info(message: str):
        Logger.log(message, "info")

    @staticmethod
    def log_warn(message: str):
        Logger.log(message, "warning")

    @staticmethod
    def log_error(message: str):
        Logger.log(message, "error")

    @staticmethod
    def log_verbose(message: str):
        Logger.log(message, "verbose")


class MetricKind:
    COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"


class MetricFamily:
    """`pb_utils.MetricFamily(name, description, kind)`."""

    COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"

    def __init__(self, name: str, description: str, kind: str):
        self._name, self._description, self._kind = name, description, kind

    def Metric(self, labels: dict | None = None, buckets: list | None = None) -> "Metric":
        return Metric(self._name, self._description, self._kind, labels or {}, buckets or [])


class Metric:
    """One label set of a family."""

    def __init__(self, name, description, kind, labels, buckets):
        labels = {str(key): str(value) for key, value in labels.items()}
        opening = {"name": name, "description": description, "kind": kind, "labels": labels, "buckets": buckets}
        header, _ = HOST.ask({"op": "metric_open", **opening})
        self._number = header["value"]

    def _do(self, verb: str, value: float = 0.0) -> float:
        header, _ = HOST.ask({"op": "metric", "metric": self._number, "verb": verb, "value": float(value)})
        return header["value"]

    def increment(self, value: float):
        self._do("increment", value)

    def set(self, value: float):
        self._do("set", value)

    def observe(self, value: float):
        self._do("observe", value)

    def value(self) -> float:
        return self._do("value")


def load_model(model_name: str, config: str = "", files: dict | None = None):
    """Loads a model, or loads it anew; returns when it is ready. `files` are bytes by `file:PATH`."""
    payload, rows = Payload(), []
    for path, content in (files or {}).items():
        rows.append([path, *payload.add(bytes(content))])
    HOST.ask({"op": "load", "model": model_name, "config": config, "files": rows}, payload)


def unload_model(model_name: str, unload_dependents: bool = False):
    HOST.ask({"op": "unload", "model": model_name, "dependents": bool(unload_dependents)})


def is_model_ready(model_name: str, model_version: str = "") -> bool:
    header, _ = HOST.ask({"op": "model_ready", "model": model_name, "version": str(model_version)})
    return bool(header["value"])
