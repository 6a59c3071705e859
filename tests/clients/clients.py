"""tritonclient over HTTP and over gRPC behind one face, so that one test says what both must do."""

import numpy as np
import tritonclient.grpc
import tritonclient.http

PROTOCOLS = ("http", "grpc")


class Client:
    """A synchronous client of one protocol; `raw` is tritonclient's own."""

    def __init__(self, protocol: str, server):
        self.protocol = protocol
        self.triton = {"http": tritonclient.http, "grpc": tritonclient.grpc}[protocol]
        url = {"http": server.http_url, "grpc": server.grpc_url}[protocol]
        options = {"concurrency": 16, "network_timeout": 60.0} if protocol == "http" else {}
        self.raw = self.triton.InferenceServerClient(url, **options)

    def input(self, name: str, array: np.ndarray, data_type: str, binary: bool = True):
        """gRPC has one form only; `binary` chooses between JSON and bytes over HTTP."""
        tensor = self.triton.InferInput(name, list(array.shape), data_type)
        if self.protocol == "grpc":
            tensor.set_data_from_numpy(array)
        else:
            tensor.set_data_from_numpy(array, binary_data=binary)
        return tensor

    def output(self, name: str, binary: bool = True, **options):
        if self.protocol == "http":
            options["binary_data"] = binary
        return self.triton.InferRequestedOutput(name, **options)

    def infer(self, model: str, *inputs, **options):
        return self.raw.infer(model, list(inputs), **options)

    def identity(self, model: str, array: np.ndarray, data_type: str = "FP32", binary: bool = True, **options):
        """Sends INPUT0 and returns OUTPUT0."""
        inputs = [self.input("INPUT0", array, data_type, binary)]
        result = self.raw.infer(model, inputs, outputs=[self.output("OUTPUT0", binary)], **options)
        return result.as_numpy("OUTPUT0")

    def metadata(self, model: str = "", version: str = ""):
        if not model:
            return self.raw.get_server_metadata(**self._as_json)
        return self.raw.get_model_metadata(model, version, **self._as_json)

    def config(self, model: str):
        answer = self.raw.get_model_config(model, **self._as_json)
        return answer["config"] if self.protocol == "grpc" else answer

    def statistics(self, model: str):
        answer = self.raw.get_inference_statistics(model, **self._as_json)
        return answer["model_stats"][0]

    def index(self):
        """Rows of the repository index by model name; models of several versions have several rows."""
        answer = self.raw.get_model_repository_index(**self._as_json)
        rows = answer.get("models", []) if self.protocol == "grpc" else answer
        index = {}
        for row in rows:
            index.setdefault(row["name"], []).append(row)
        return index

    @property
    def _as_json(self) -> dict:
        return {"as_json": True} if self.protocol == "grpc" else {}

    def close(self):
        self.raw.close()
