"""Tensors as the cases write them, {"name", "shape", "datatype", "data"}, and as bytes on the wire."""

import struct

import ml_dtypes
import numpy as np

TYPES = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "FP32": np.float32,
    "FP64": np.float64,
}


def encode(data_type: str, data) -> bytes:
    """The bytes of `data`, a list of any depth."""
    flat = list(flatten(data))
    if data_type != "BYTES":
        return np.array(flat, TYPES[data_type]).tobytes()
    elements = (element.encode() for element in flat)
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def decode(data_type: str, encoded: bytes) -> list:
    """The elements, flat; floats as the doubles that they are."""
    if data_type != "BYTES":
        array = np.frombuffer(encoded, TYPES[data_type])
        return array.astype(np.float64).tolist() if array.dtype.kind in "fV" else array.tolist()
    elements, at = [], 0
    while at < len(encoded):
        (length,) = struct.unpack_from("<I", encoded, at)
        elements.append(encoded[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return elements


def flatten(data):
    if not isinstance(data, list):
        yield data
        return
    for element in data:
        yield from flatten(element)
