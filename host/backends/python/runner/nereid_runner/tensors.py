"""Tensors as models see them: numpy arrays under a name, over the bytes that the server sent or that the model made."""

import math
import struct
import sys

import numpy as np

from nereid_runner import dlpack
from nereid_runner.errors import TritonModelException

NUMPY_TYPES = {
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
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}
DTYPES = {wire: np.dtype(numpy_type) for wire, numpy_type in NUMPY_TYPES.items()}
WIRE_TYPES = {dtype: wire for wire, dtype in DTYPES.items()}
# Copying so little costs less than a view of it.
COPIED_BYTES_MAX = 4096
# The numbers of TRITONSERVER_DataType.
TYPE_NUMBERS = {name: number for number, name in enumerate(NUMPY_TYPES, 1)} | {"BF16": 14}
NAMES_BY_NUMBER = {number: name for name, number in TYPE_NUMBERS.items()}


def wire_type(dtype) -> str | None:
    """The protocol's name of a numpy type; None for one that the protocol does not have."""
    dtype = np.dtype(dtype)
    if dtype in WIRE_TYPES:
        return WIRE_TYPES[dtype]
    if dtype.type in (np.bytes_, np.str_):
        return "BYTES"
    if dtype.name == "bfloat16":  # of the package ml_dtypes
        return "BF16"
    return WIRE_TYPES.get(dtype.newbyteorder("="))


def encode_strings(array: np.ndarray) -> bytes:
    """Elements in row-major order, each behind its length: the protocol's form of BYTES."""
    pieces = []
    for element in array.ravel().tolist():
        data = element if isinstance(element, bytes) else str(element).encode("utf-8")
        pieces += (struct.pack("<I", len(data)), data)
    return b"".join(pieces)


def decode_strings(data) -> np.ndarray:
    """The opposite, as a row."""
    data, elements, at = bytes(data), [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        at += 4 + length
        elements.append(data[at - length : at])
    row = np.empty(len(elements), dtype=np.object_)
    row[:] = elements
    return row


class Tensor:
    """`Tensor(name, numpy_array)`."""

    def __init__(self, name: str, numpy_array: np.ndarray):
        if not name:
            raise TritonModelException("Tensor name cannot be an empty string.")
        array = np.asarray(numpy_array)
        found = wire_type(array.dtype)
        if found is None:
            raise TritonModelException(f"Tensor '{name}' has the numpy type {array.dtype}, which Triton has no type for.")
        self._name, self._type, self._shape = str(name), found, list(array.shape)
        self._array, self._bytes = array, None

    @classmethod
    def of_bytes(cls, name: str, data_type: str, shape: list[int], data):
        """A tensor over bytes as they travel."""
        tensor = cls.__new__(cls)
        tensor._name, tensor._type, tensor._shape = name, data_type, list(map(int, shape))
        tensor._array, tensor._bytes = None, data
        return tensor

    def name(self) -> str:
        return self._name

    def shape(self) -> list[int]:
        return self._shape

    def triton_dtype(self) -> int:
        return TYPE_NUMBERS[self._type]

    def is_cpu(self) -> bool:
        return True

    def as_numpy(self) -> np.ndarray:
        if self._type == "BF16":
            raise TritonModelException(
                "Tensor dtype is BF16 and cannot be converted to NumPy. Use to_dlpack() and from_dlpack() instead."
            )
        if self._array is None and self._type == "BYTES":
            self._array = decode_strings(self._bytes).reshape(self._shape)
        elif self._array is None:
            self._array = np.ndarray(self._shape, DTYPES[self._type], self._bytes)
        return self._array

    def wire_bytes(self):
        """The elements as they travel, and as they are now: models may have changed them in place."""
        if self._array is None:
            return self._bytes
        if self._type == "BYTES":
            return encode_strings(self._array)
        if self._array.nbytes <= COPIED_BYTES_MAX and self._array.dtype.isnative and sys.byteorder == "little":
            return self._array.tobytes()
        array = np.ascontiguousarray(self._array)
        if array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and sys.byteorder == "big"):
            array = array.astype(array.dtype.newbyteorder("<"))
        return memoryview(array.reshape(-1).view(np.uint8))

    def to_wire(self, payload) -> list:
        """A row of a header; the bytes go into the payload."""
        return [self._name, self._type, self._shape, *payload.add(self.wire_bytes())]

    @classmethod
    def from_wire(cls, row: list, payload: memoryview):
        tensor = cls.__new__(cls)
        tensor._name, tensor._type, tensor._shape, offset, length = row
        tensor._array, tensor._bytes = None, payload[offset : offset + length]
        return tensor

    # --- DLPack ---

    @classmethod
    def from_dlpack(cls, name: str, tensor):
        if not name:
            raise TritonModelException("Tensor name cannot be an empty string.")
        if not (dlpack.is_capsule(tensor) or hasattr(tensor, "__dlpack__")):
            raise TritonModelException(
                "Provided tensor is not supported. Tensor must be a DLPack capsule or have `__dlpack__` and "
                "`__dlpack_device__` attributes"
            )
        data_type, shape, data = dlpack.read(tensor)
        return cls.of_bytes(name, data_type, shape, data)

    def to_dlpack(self):
        return self.__dlpack__()

    def __dlpack__(self, stream=None, **_):
        if self._type == "BYTES":
            raise TritonModelException("DLPack does not have support for string tensors.")
        data = self._bytes if self._array is None else np.ascontiguousarray(self._array)
        return dlpack.write(self._type, self._shape, data)

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CPU, 0

    def __repr__(self):
        return f"Tensor({self._name!r}, {self._type}, {self._shape})"


def element_count(shape) -> int:
    return math.prod(shape)
