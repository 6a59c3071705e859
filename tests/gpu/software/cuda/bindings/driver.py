"""What tritonclient asks the CUDA driver, of the software devices in driver.c.

It stands for the package cuda-bindings, whose own library asks the driver for hundreds of functions.
"""

import ctypes
import enum

LIBRARY = ctypes.CDLL("libcuda.so.1")

for _name, _types in {
    "cuInit": (ctypes.c_uint,),
    "cuDevicePrimaryCtxRetain": (ctypes.c_void_p, ctypes.c_int),
    "cuCtxSetCurrent": (ctypes.c_void_p,),
    "cuMemAlloc_v2": (ctypes.c_void_p, ctypes.c_size_t),
    "cuMemFree_v2": (ctypes.c_uint64,),
    "cuIpcGetMemHandle": (ctypes.c_void_p, ctypes.c_uint64),
    "cuMemcpyHtoDAsync_v2": (ctypes.c_uint64, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p),
    "cuMemcpyDtoHAsync_v2": (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t, ctypes.c_void_p),
    "cuStreamCreate": (ctypes.c_void_p, ctypes.c_uint),
    "cuStreamSynchronize": (ctypes.c_void_p,),
    "cuStreamDestroy_v2": (ctypes.c_void_p,),
    "cuGetErrorString": (ctypes.c_int, ctypes.c_void_p),
}.items():
    getattr(LIBRARY, _name).argtypes = _types


class CUresult(enum.IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_DEVICE = 101


def cuDeviceGet(ordinal: int):
    device = ctypes.c_int()
    return CUresult(LIBRARY.cuDeviceGet(ctypes.byref(device), ordinal)), device.value


def cuDevicePrimaryCtxGetState(_device: int):
    """Flags, and whether the context is in use."""
    return CUresult.CUDA_SUCCESS, 0, 1


def cuGetErrorString(error):
    text = ctypes.c_char_p()
    LIBRARY.cuGetErrorString(int(error), ctypes.byref(text))
    return CUresult.CUDA_SUCCESS, text.value
