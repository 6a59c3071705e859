"""Tensors: the host's typed, shaped bytes, held by handle.

Reading and writing copy once, in pieces, so that no copy needs more than one piece beside the result. What is read stays
allocated until the host replaces the instance (componentize-py 0.25 never frees a list that it received), so hand
tensors on where they need not be read: `inputs["X"]` as an output, `share`, `reshape` and `slice` copy nothing.
"""

import struct

from wit_world.imports import tensors as host

from .errors import raised_by_host

# A call costs some microseconds in Python, a copy of this size some tens.
_PIECE_BYTES = 1 << 20

# The letters of `struct` and `memoryview`; None where Python has no such number.
_FORMATS = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i",
    "INT64": "q", "FP16": "e", "BF16": None, "FP32": "f", "FP64": "d",
}
_DTYPES = {"BOOL" if dtype is host.Dtype.BOOLEAN else dtype.name: dtype for dtype in host.Dtype}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class Tensor:
    """A host-owned buffer with an element type and a shape. Cheap to hold and to hand on."""

    __slots__ = ("_handle",)

    def __init__(self, handle):
        self._handle = handle

    @classmethod
    def zeros(cls, data_type: str, shape) -> "Tensor":
        """A tensor of zeroes, to be filled with `write`. Not for BYTES."""
        with raised_by_host():
            return cls(host.Tensor.create(dtype_of(data_type), list(shape)))

    @classmethod
    def from_bytes(cls, data_type: str, shape, data) -> "Tensor":
        """A tensor over a copy of `data` (bytes, bytearray, array, memoryview): little endian, dense, row-major."""
        data = data if isinstance(data, bytes) else bytes(memoryview(data).cast("B"))
        with raised_by_host():
            return cls(host.Tensor.from_bytes(dtype_of(data_type), list(shape), data))

    @classmethod
    def from_list(cls, data_type: str, shape, values) -> "Tensor":
        """A tensor of numbers: `Tensor.from_list("INT64", [2, 2], [1, 2, 3, 4])`, in row-major order."""
        return cls.from_bytes(data_type, shape, _packed(data_type, values))

    @classmethod
    def from_blobs(cls, shape, items) -> "Tensor":
        """A BYTES tensor of texts, encoded images and the like: `Tensor.from_blobs([2], ["cat", b"dog"])`."""
        items = [item.encode() if isinstance(item, str) else bytes(item) for item in items]
        with raised_by_host():
            return cls(host.Tensor.from_blobs(list(shape), items))

    @property
    def data_type(self) -> str:
        """As in `config.pbtxt`, without TYPE_: `FP32`, `INT64`, `BOOL`, `BYTES`, …"""
        return _NAMES[self._handle.dtype()]

    @property
    def shape(self) -> tuple:
        """The extent in each dimension. Where the model batches, the first dimension is the batch."""
        return tuple(self._handle.shape())

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._handle.element_count()

    @property
    def byte_size(self) -> int:
        """The length in bytes; for BYTES that of the wire encoding."""
        return self._handle.byte_size()

    def tobytes(self) -> bytes:
        """All bytes of the buffer; for BYTES the wire encoding."""
        size = self.byte_size
        with raised_by_host():
            pieces = [
                self._handle.read(offset, min(_PIECE_BYTES, size - offset)) for offset in range(0, size, _PIECE_BYTES)
            ]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def memoryview(self) -> memoryview:
        """The elements as a flat, typed, read-only view of a copy. BF16, which Python does not know, comes as its 16 bits."""
        letter = _FORMATS.get(self.data_type, "B") or "H"
        return memoryview(self.tobytes()).cast(letter)

    def tolist(self) -> list:
        """All elements in row-major order: numbers, or `bytes` for BYTES."""
        data_type = self.data_type
        if data_type == "BYTES":
            return self.blobs()
        return _unpacked(data_type, self.tobytes())

    def blobs(self) -> list:
        """All elements of a BYTES tensor."""
        with raised_by_host():
            return self._handle.read_blobs(0, self.size)

    def texts(self) -> list:
        """All elements of a BYTES tensor as `str`."""
        return [blob.decode() for blob in self.blobs()]

    def write(self, first: int, values) -> None:
        """Overwrites elements from element `first` on. Only this handle sees the change. Not for BYTES."""
        data_type = self.data_type
        data = _packed(data_type, values)
        offset = first * self.byte_size // max(self.size, 1)
        with raised_by_host():
            for start in range(0, len(data), _PIECE_BYTES):
                self._handle.write(offset + start, data[start : start + _PIECE_BYTES])

    def share(self) -> "Tensor":
        """Another handle on the same tensor. Costs no copy."""
        return Tensor(self._handle.share())

    def reshape(self, shape) -> "Tensor":
        """The same buffer under another shape of as many elements. Costs no copy."""
        with raised_by_host():
            return Tensor(self._handle.reshape(list(shape)))

    def slice(self, first: int, shape) -> "Tensor":
        """The elements from number `first` on, as many as `shape` holds. Costs no copy."""
        with raised_by_host():
            return Tensor(self._handle.slice(first, list(shape)))

    def __repr__(self) -> str:
        return f"Tensor({self.data_type}, {list(self.shape)})"


def from_host(named: list) -> dict:
    return {item.name: Tensor(item.data) for item in named}


def to_host(tensors: dict) -> list:
    """Shared, so that one tensor may go to several places and stays usable."""
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"tensor {name!r} is of {type(tensor).__name__}, expected nereid.Tensor")
    return [host.Named(name, tensor._handle.share()) for name, tensor in tensors.items()]


def name_of(dtype) -> str:
    return _NAMES[dtype]


def dtype_of(data_type: str):
    found = _DTYPES.get(data_type.removeprefix("TYPE_").replace("STRING", "BYTES"))
    if found is None:
        raise ValueError(f"no data type is called {data_type!r}, expected one of {', '.join(_DTYPES)}")
    return found


def _packed(data_type: str, values) -> bytes:
    name = _NAMES[dtype_of(data_type)]
    if name == "BYTES":
        raise TypeError("BYTES elements have no fixed size: use Tensor.from_blobs")
    values = list(values)
    if name == "BF16":
        # The upper half of an FP32, rounded to nearest, ties to even.
        bits = struct.unpack(f"<{len(values)}I", struct.pack(f"<{len(values)}f", *values))
        rounded = [bit >> 16 if bit & 0x7FFFFFFF > 0x7F800000 else (bit + 0x7FFF + (bit >> 16 & 1)) >> 16 for bit in bits]
        return struct.pack(f"<{len(values)}H", *rounded)
    return struct.pack(f"<{len(values)}{_FORMATS[name]}", *values)


def _unpacked(data_type: str, data: bytes) -> list:
    if data_type == "BF16":
        halves = struct.unpack(f"<{len(data) // 2}H", data)
        return list(struct.unpack(f"<{len(halves)}f", struct.pack(f"<{len(halves)}I", *(half << 16 for half in halves))))
    letter = _FORMATS[data_type]
    return list(struct.unpack(f"<{len(data) // struct.calcsize(letter)}{letter}", data))
