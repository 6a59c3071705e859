"""A Triton `model.py` that computes on the GPU with PyTorch, in its confined process.

The process may use the devices of the driver and nothing more than a model on the processor may; the model is told which
device is its own. Torch is imported in the process, which takes some seconds.
"""

import numpy as np
import pytest
from conftest import Server
from repository import tensors, write_model
from tritonclient import http

MODEL = '''
import os

import numpy as np
import torch
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.device = torch.device("cuda", int(args["model_instance_device_id"]))
        self.kind = args["model_instance_kind"]
        self.weights = torch.full((4,), 2.0, device=self.device)

    def execute(self, requests):
        try:
            os.listdir("/root")
            denied = 0.0
        except PermissionError:
            denied = 1.0
        responses = []
        for request in requests:
            x = torch.from_numpy(pb_utils.get_input_tensor_by_name(request, "X").as_numpy()).to(self.device)
            y = (x * self.weights).cpu().numpy()
            facts = np.array([x.is_cuda, self.kind == "GPU", denied], dtype=np.float32)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", y), pb_utils.Tensor("FACTS", facts)]))
        return responses
'''


@pytest.fixture
def server(models):
    ends = tensors("input", ("X", "TYPE_FP32", "4")) + tensors("output", ("Y", "TYPE_FP32", "4"), ("FACTS", "TYPE_FP32", "3"))
    config = f'backend: "python"\nmax_batch_size: 0\n{ends}instance_group [ {{ kind: KIND_GPU count: 2 }} ]\n'
    write_model(models, "doubles", config)
    (models / "doubles/1/model.py").write_text(MODEL)
    with Server(models) as running:
        yield running


def test_a_model_in_python_computes_on_its_device(server):
    client = http.InferenceServerClient(server.http_url)
    for number in range(4):
        values = np.arange(4, dtype=np.float32) + number
        tensor = http.InferInput("X", [4], "FP32")
        tensor.set_data_from_numpy(values)
        answer = client.infer("doubles", [tensor])
        assert np.array_equal(answer.as_numpy("Y"), values * 2)
        assert list(answer.as_numpy("FACTS")) == [1, 1, 1], "on the device, told so, and confined"
