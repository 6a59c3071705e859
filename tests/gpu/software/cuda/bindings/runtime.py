"""What tritonclient asks the CUDA runtime, of the software devices in driver.c."""

import ctypes
import enum

from .driver import LIBRARY
from .driver import cuGetErrorString as cudaGetErrorString  # noqa: F401

CUDA_IPC_HANDLE_SIZE = 64
#: Set in every address of a device.
DEVICE_BIT = 1 << 62

_device = 0


class cudaError_t(enum.IntEnum):
    """The runtime's errors have the driver's numbers here."""

    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorNoDevice = 100
    cudaErrorInvalidDevice = 101
    cudaErrorDeviceUninitialized = 201
    cudaErrorIllegalAddress = 700


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyDefault = 4


class cudaDeviceAttr(enum.IntEnum):
    cudaDevAttrUnifiedAddressing = 41


class cudaIpcMemHandle_t:
    def __init__(self):
        self.reserved = (ctypes.c_char * CUDA_IPC_HANDLE_SIZE)()

    def getPtr(self) -> int:
        return ctypes.addressof(self.reserved)


def _called(name: str, *arguments) -> cudaError_t:
    """Calls the driver with the thread's device as its context."""
    context = ctypes.c_void_p()
    result = LIBRARY.cuInit(0) or LIBRARY.cuDevicePrimaryCtxRetain(ctypes.byref(context), _device)
    result = result or LIBRARY.cuCtxSetCurrent(context)
    return cudaError_t(result or getattr(LIBRARY, name)(*arguments))


def cudaGetDevice():
    return cudaError_t.cudaSuccess, _device


def cudaSetDevice(ordinal: int):
    global _device
    found = cudaError_t(LIBRARY.cuDeviceGet(ctypes.byref(ctypes.c_int()), ordinal))
    if found == cudaError_t.cudaSuccess:
        _device = ordinal
    return (found,)


def cudaDeviceGetAttribute(_attribute, _device):
    return cudaError_t.cudaSuccess, 1


def cudaMalloc(size: int):
    address = ctypes.c_uint64()
    return _called("cuMemAlloc_v2", ctypes.byref(address), size), address.value


def cudaFree(address: int):
    return (_called("cuMemFree_v2", address),)


def cudaIpcGetMemHandle(address: int):
    handle = cudaIpcMemHandle_t()
    return _called("cuIpcGetMemHandle", handle.getPtr(), address), handle


def cudaStreamCreate():
    stream = ctypes.c_void_p()
    return _called("cuStreamCreate", ctypes.byref(stream), 1), stream


def cudaStreamSynchronize(stream):
    return (_called("cuStreamSynchronize", stream),)


def cudaStreamDestroy(stream):
    return (_called("cuStreamDestroy_v2", stream),)


def cudaMemcpyAsync(target, source, size: int, _kind, stream):
    """Addresses say which side is the device; the host's may be a buffer of ctypes instead."""
    if isinstance(target, int) and target & DEVICE_BIT:
        return (_called("cuMemcpyHtoDAsync_v2", target, source, size, stream),)
    return (_called("cuMemcpyDtoHAsync_v2", target, source, size, stream),)
