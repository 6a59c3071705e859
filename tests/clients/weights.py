"""ONNX files with as many weights as a test wants, written without the `onnx` package, which the suite does not install.

The model looks a number up: `Y = WEIGHTS[I]`. Requests are tiny, the weights are the model.
"""

import pathlib

import numpy as np
from repository import tensors, write_model

FLOAT, INT64 = 1, 7
MIB = 1 << 20


def varint(value: int) -> bytes:
    out = bytearray()
    while True:
        out.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def field(number: int, value) -> bytes:
    """A protobuf field: an integer, or bytes, text and messages with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    payload = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def value_info(name: str, element_type: int) -> bytes:
    """A tensor of one element."""
    shape = field(1, field(1, 1))
    return field(1, name) + field(2, field(1, field(1, element_type) + field(2, shape)))


def lookup_model(weights: np.ndarray) -> bytes:
    """Field numbers are those of onnx.proto3."""
    initializer = field(1, len(weights)) + field(2, FLOAT) + field(8, "WEIGHTS") + field(9, weights.tobytes())
    node = field(1, "WEIGHTS") + field(1, "I") + field(2, "Y") + field(4, "Gather")
    graph = field(1, node) + field(2, "lookup") + field(5, initializer)
    graph += field(11, value_info("I", INT64)) + field(12, value_info("Y", FLOAT))
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 17))


def write_heavy_model(repository: pathlib.Path, name: str, mib: int, more: str = ""):
    """`mib` of weights that count upwards."""
    config = 'backend: "onnxruntime"\nmax_batch_size: 0\n' + more
    config += tensors("input", ("I", "TYPE_INT64", "1")) + tensors("output", ("Y", "TYPE_FP32", "1"))
    write_model(repository, name, config)
    weights = np.arange(mib * MIB // 4, dtype=np.float32)
    (repository / name / "1/model.onnx").write_bytes(lookup_model(weights))
