"""DLPack on the CPU, for the types that numpy has and for BF16, which it has not.

A capsule holds a `DLManagedTensor` (version 0 of the format): <https://dmlc.github.io/dlpack/latest/c_api.html>. What is read is
copied out and the capsule given back; what is written stays alive until the consumer calls its deleter.
"""

import ctypes
import math

import numpy as np

from nereid_runner.errors import TritonModelException

CPU = 1
CODES = {0: "INT", 1: "UINT", 2: "FP", 4: "BF", 6: "BOOL"}
NAMES = {"BOOL": (6, 8), "BF16": (4, 16)}
NAMES |= {f"INT{bits}": (0, bits) for bits in (8, 16, 32, 64)} | {f"UINT{bits}": (1, bits) for bits in (8, 16, 32, 64)}
NAMES |= {f"FP{bits}": (2, bits) for bits in (16, 32, 64)}


class DLDevice(ctypes.Structure):
    _fields_ = [("device_type", ctypes.c_int), ("device_id", ctypes.c_int)]


class DLDataType(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", DLDevice),
        ("ndim", ctypes.c_int),
        ("dtype", DLDataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class DLManagedTensor(ctypes.Structure):
    pass


Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(DLManagedTensor))
DLManagedTensor._fields_ = [("dl_tensor", DLTensor), ("manager_ctx", ctypes.c_void_p), ("deleter", Deleter)]

_api = ctypes.pythonapi
_api.PyCapsule_IsValid.restype, _api.PyCapsule_IsValid.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]
_api.PyCapsule_GetPointer.restype = ctypes.c_void_p
_api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_api.PyCapsule_SetName.restype, _api.PyCapsule_SetName.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]
_api.PyCapsule_New.restype = ctypes.py_object
_api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]

UNUSED, USED = b"dltensor", b"used_dltensor"
# Exported tensors by address, until their consumers are done with them.
_exported = {}


def is_capsule(thing) -> bool:
    return type(thing).__name__ == "PyCapsule"


@Deleter
def _release(managed):
    _exported.pop(ctypes.addressof(managed.contents), None)


def write(data_type: str, shape, data):
    """A capsule over `data`, a writable buffer."""
    array = data if isinstance(data, np.ndarray) else np.frombuffer(data, dtype=np.uint8)
    code, bits = NAMES[data_type]
    dims = (ctypes.c_int64 * max(len(shape), 1))(*shape)
    managed = DLManagedTensor(deleter=_release)
    managed.dl_tensor = DLTensor(
        array.ctypes.data, DLDevice(CPU, 0), len(shape), DLDataType(code, bits, 1), dims, None, 0
    )
    address = ctypes.addressof(managed)
    _exported[address] = (managed, dims, array)
    # Without a destructor a capsule that nobody consumes keeps its memory; consumers take every one that is made.
    return _api.PyCapsule_New(address, UNUSED, None)


def read(tensor) -> tuple[str, list[int], bytearray]:
    """Type, shape and a copy of the elements of a capsule, or of something that makes one."""
    if not is_capsule(tensor):
        device, _ = tensor.__dlpack_device__()
        if int(device) != CPU:
            raise TritonModelException(f"DLDevice type {int(device)} is not support by Python backend.")
    capsule = tensor if is_capsule(tensor) else tensor.__dlpack__()
    if not _api.PyCapsule_IsValid(capsule, UNUSED):
        raise TritonModelException("the DLPack capsule is used already, or of a version that is not supported")
    managed = ctypes.cast(_api.PyCapsule_GetPointer(capsule, UNUSED), ctypes.POINTER(DLManagedTensor))
    found = managed.contents.dl_tensor
    if found.device.device_type != CPU:
        raise TritonModelException(f"DLDevice type {found.device.device_type} is not support by Python backend.")
    kind, bits = CODES.get(found.dtype.code), found.dtype.bits
    data_type = "BOOL" if kind == "BOOL" else f"{kind}{bits}"
    if data_type not in NAMES or found.dtype.lanes != 1:
        raise TritonModelException(f"DLPack type {found.dtype.code} of {bits} bits has no type in Triton")
    shape = [found.shape[at] for at in range(found.ndim)]
    _check_dense(found, shape)
    length = math.prod(shape) * bits // 8
    copied = bytearray(ctypes.string_at(found.data + found.byte_offset, length)) if length else bytearray()
    _api.PyCapsule_SetName(capsule, USED)
    if managed.contents.deleter:
        managed.contents.deleter(managed)
    return data_type, shape, copied


def _check_dense(found: DLTensor, shape: list[int]):
    if not found.strides:
        return
    expected = 1
    for at in reversed(range(found.ndim)):
        if shape[at] != 1 and found.strides[at] != expected:
            raise TritonModelException(
                "DLPack tensor is not contiguous. Only contiguous DLPack tensors that are stored in C-Order are supported."
            )
        expected *= shape[at]
