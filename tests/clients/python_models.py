"""Writes Triton Python models for tests: a `model.py` of a few lines and its configuration."""

import pathlib
import sys
import textwrap

from repository import tensors, write_model

INPUT = tensors("input", ("X", "TYPE_FP32", "-1"))
OUTPUT = tensors("output", ("Y", "TYPE_FP32", "-1"))
ONE_TO_ONE = INPUT + OUTPUT

# The interpreter that has numpy: the one that runs the tests.
INTERPRETER = f"--backend-config=python,python-executable={sys.executable}"

HEAD = """\
import json
import os
import sys
import threading
import time

import numpy as np
import triton_python_backend_utils as pb_utils
"""


def parameters(**values) -> str:
    return "".join(f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n' for key, value in values.items())


def write_python(models: pathlib.Path, name: str, body: str, config: str = ONE_TO_ONE, head: str = HEAD):
    """A model whose class has this body."""
    if "max_batch_size" not in config:
        config = "max_batch_size: 0\n" + config
    write_model(models, name, 'backend: "python"\n' + config)
    text = textwrap.indent(textwrap.dedent(body), "    ")
    (models / name / "1/model.py").write_text(f"{head}\n\nclass TritonPythonModel:\n{text}")


def execute(code: str) -> str:
    """The body of a model that answers each request by this code, which sees `request` and `x` and gives `y`."""
    return (
        "def execute(self, requests):\n"
        "    responses = []\n"
        "    for request in requests:\n"
        '        x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()\n'
        + textwrap.indent(textwrap.dedent(code).strip(), "        ")
        + '\n        responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", y)]))\n'
        "    return responses\n"
    )
