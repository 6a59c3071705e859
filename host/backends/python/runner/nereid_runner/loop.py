"""What the server asks for: load the model, complete its configuration, execute batches, end."""

import asyncio
import importlib
import inspect
import os
import socket
import sys
import threading
import traceback

from nereid_runner import errors
from nereid_runner.host import HOST, Logger
from nereid_runner.model_config import ModelConfig
from nereid_runner.requests import RELEASE_RESCHEDULE, InferenceRequest
from nereid_runner.responses import InferenceResponse
from nereid_runner.wire import Connection, Gone, Payload

# Where `pb_utils.get_model_dir` finds it.
MODEL_DIRECTORY = ""


class Runner:
    """The model of this process."""

    def __init__(self, connection: Connection):
        self.connection = connection
        self.model = None
        self.name, self.file, self.decoupled = "", "", False
        self.loop: asyncio.AbstractEventLoop | None = None
        self.background = set()

    def run(self):
        """Does what the server says, until something is the last."""
        handlers = {"start": self.start, "complete": self.complete, "execute": self.execute, "finalize": self.finalize}
        while True:
            header, payload = self.connection.receive()
            if handlers[header["op"]](header, payload):
                return

    # --- before the first request ---

    def meet_host(self):
        """The second connection comes with the first order."""
        HOST.start(Connection(socket.socket(fileno=self.connection.take_descriptor())))

    def import_model(self, header: dict):
        """As `VERSION.FILE`, from the model's directory, or by its name from a backend's folder, as Triton does."""
        global MODEL_DIRECTORY
        folder, stem = os.path.split(header["file"])
        MODEL_DIRECTORY = header["directory"]
        self.file, self.name, self.decoupled = header["file"], header["instance"], header["decoupled"]
        if not os.path.isfile(self.file):
            raise errors.TritonModelException(f"Python model file not found in '{self.file}'")
        if not stem.endswith(".py"):
            raise errors.TritonModelException(f"Model name must end with '.py'. Model name is \"{stem}\".")
        name = stem[:-3]
        sys.path.append(folder)
        if self.file.startswith(MODEL_DIRECTORY + os.sep):
            sys.path.append(os.path.dirname(folder))
            name = f"{os.path.basename(folder)}.{name}"
        module = importlib.import_module(name)
        if not hasattr(module, "TritonPythonModel"):
            raise errors.TritonModelException(f"'{self.file}' has no class TritonPythonModel")
        return module.TritonPythonModel

    def complete(self, header: dict, _payload) -> bool:
        self.meet_host()
        try:
            model_class, config = self.import_model(header), ModelConfig(header["config"])
            if hasattr(model_class, "auto_complete_config"):
                config = model_class.auto_complete_config(config)
            if not isinstance(config, ModelConfig):
                raise errors.TritonModelException(
                    f"auto_complete_config function in model '{header['model']}' must return a valid pb.ModelConfig object."
                )
            answer = {"config": config.as_dict()}
        except BaseException as error:
            answer = {"error": errors.describe(error)}
        self.connection.send(answer)
        return True

    def start(self, header: dict, _payload):
        self.meet_host()
        try:
            self.model = self.import_model(header)()
            if hasattr(self.model, "initialize"):
                self.model.initialize(header["args"])
            HOST.model, HOST.serving = self.model, True
            answer = {"has_is_ready": hasattr(self.model, "is_ready")}
        except BaseException as error:
            answer = {"error": errors.describe(error)}
        self.connection.send(answer)

    # --- requests ---

    def execute(self, header: dict, payload: memoryview):
        requests = [InferenceRequest.from_wire(row, payload, self.decoupled) for row in header["requests"]]
        try:
            sent = Payload()
            answer = {"answers": self.answers(requests, self.call(requests), sent)}
        except BaseException as error:
            # Upstream names the place of what a model raises, and of its own refusals the text alone.
            said = str(error) if type(error) is Refused else errors.describe(error)
            text = f"Failed to process the request(s) for model '{self.name}', message: {said}"
            Logger.log_error(text)
            for request in requests:
                request.close()
            answer, sent = {"error": text}, None
        self.connection.send(answer, sent)

    def call(self, requests: list):
        if not hasattr(self.model, "execute"):
            raise Refused(f"Python model {self.file} does not implement `execute` method.")
        returned = self.model.execute(requests)
        if not inspect.iscoroutine(returned):
            return returned
        future = asyncio.run_coroutine_threadsafe(returned, self.event_loop())
        if not self.decoupled:
            return future.result()
        self.background.add(future)
        future.add_done_callback(self.background_ended)
        return None

    def answers(self, requests: list, returned, payload: Payload) -> list:
        """One entry per request: a response, "deferred" or "again"."""
        if returned is None:
            return [self.deferred(request) for request in requests]
        if self.decoupled:
            raise Refused(
                f"Python model '{self.name}' is using the decoupled mode and the execute function must return None."
            )
        if not isinstance(returned, list):
            raise Refused(f"Expected a list in the execute return, found type '{type(returned)}'.")
        if len(returned) != len(requests):
            raise Refused(
                "Number of InferenceResponse objects do not match the number of InferenceRequest objects. "
                f"InferenceRequest(s) size is:{len(requests)}, and InferenceResponse(s) size is:{len(returned)}\n"
            )
        for request, response in zip(requests, returned):
            self.check(request, response)
        return [
            self.deferred(request) if response is None else response.to_wire(request.requested_output_names(), payload)
            for request, response in zip(requests, returned)
        ]

    @staticmethod
    def check(request: InferenceRequest, response):
        if response is None:
            return
        if request._release == RELEASE_RESCHEDULE:
            raise Refused(
                "Expected a None object in the execute function return list for reschduled request, found type "
                f"'{type(response)}'."
            )
        if not isinstance(response, InferenceResponse):
            raise Refused(
                "Expected an 'InferenceResponse' object in the execute function return list, found type "
                f"'{type(response)}'."
            )
        try:
            request.answered(response)
        except errors.TritonModelException as error:
            raise Refused(str(error)) from error

    @staticmethod
    def deferred(request: InferenceRequest) -> str:
        if request._release == RELEASE_RESCHEDULE:
            request.close()
            return "again"
        request.get_response_sender().keep()
        return "deferred"

    def event_loop(self) -> asyncio.AbstractEventLoop:
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            threading.Thread(target=self.loop.run_forever, name="nereid-asyncio", daemon=True).start()
        return self.loop

    def background_ended(self, future):
        self.background.discard(future)
        if not future.cancelled() and (error := future.exception()):
            Logger.log_error("".join(traceback.format_exception(error)))

    # --- the end ---

    def finalize(self, _header: dict, _payload) -> bool:
        answer = {}
        try:
            if self.model is not None and hasattr(self.model, "finalize"):
                self.model.finalize()
        except BaseException as error:
            answer = {"error": errors.describe(error)}
        sys.stdout.flush()
        sys.stderr.flush()
        self.connection.send(answer)
        return True


class Refused(Exception):
    """A model's return value that cannot be answered with."""


def main():
    # The server gives the connection as standard input; models that read from theirs find an end.
    connection = Connection(socket.socket(fileno=os.dup(0)), spins=True)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    try:
        Runner(connection).run()
    except Gone:
        os._exit(errors.INTERNAL)
    # Threads of the model's own do not keep the process.
    os._exit(0)
