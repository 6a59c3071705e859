/* A CUDA driver whose devices are memory of the host, for tests on machines without one: `run` builds it as libcuda.so.1.
 *
 * It has what the server and tritonclient use for memory, copies, streams, recordings and memory of other processes, and
 * one kernel, an addition, for the TensorRT of tensorrt.c.
 * Where the real driver leaves a choice it takes the one that forgives least:
 * - what a stream is told is done when somebody waits for it, and not before: a source that is gone by then, or a result
 *   that is used earlier, shows;
 * - addresses of devices are none of the host: to follow one ends the process;
 * - new memory holds 0xDB, not zeros;
 * - a thread without a current context is refused.
 *
 * NEREID_SOFTWARE_GPUS says how many devices there are (2), NEREID_SOFTWARE_GPU_STATE is a file in which processes count
 * the memory that they have together. Numbers of errors and attributes are those of CUDA's driver interface.
 */
#define _GNU_SOURCE
#include "driver.h"

#include <stdio.h>

_Thread_local struct context *current;

static struct context contexts[SOFTWARE_GPUS_MAX];

int cuInit(unsigned flags) {
    return flags ? INVALID_VALUE : software_gpus() ? SUCCESS : NO_DEVICE;
}

int cuDeviceGetCount(int *count) {
    *count = software_gpus();
    return SUCCESS;
}

int cuDeviceGet(int *found, int ordinal) {
    *found = ordinal;
    return ordinal >= 0 && ordinal < software_gpus() ? SUCCESS : INVALID_DEVICE;
}

int cuDeviceGetName(char *name, int length, int on_device) {
    snprintf(name, (size_t)length, "Software device %d", on_device);
    return SUCCESS;
}

int cuDeviceGetUuid(uint8_t *uuid, int on_device) {
    software_uuid(uuid, on_device);
    return SUCCESS;
}

int cuDeviceGetUuid_v2(uint8_t *uuid, int on_device) {
    return cuDeviceGetUuid(uuid, on_device);
}

int cuDeviceGetAttribute(int *value, int attribute, int on_device) {
    const char *pools = getenv("NEREID_SOFTWARE_GPU_POOLS");
    (void)on_device;
    switch (attribute) {
    case 75: *value = 9; return SUCCESS;                       /* compute capability, major */
    case 76: *value = 0; return SUCCESS;                       /* and minor */
    case 115: *value = !pools || *pools != '0'; return SUCCESS; /* memory pools supported */
    default: return INVALID_VALUE;
    }
}

int cuDevicePrimaryCtxRetain(struct context **context, int on_device) {
    *context = &contexts[on_device];
    (*context)->device = on_device;
    return SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(int on_device) {
    (void)on_device;
    return SUCCESS;
}

int cuDeviceGetDefaultMemPool(void **pool, int on_device) {
    *pool = &contexts[on_device];
    return SUCCESS;
}

int cuMemPoolSetAttribute(void *pool, int attribute, void *value) {
    return pool && attribute == 4 && value ? SUCCESS : INVALID_VALUE; /* 4: the release threshold */
}

int cuCtxSetCurrent(struct context *context) {
    current = context;
    return SUCCESS;
}

int cuCtxGetCurrent(struct context **context) {
    *context = current;
    return SUCCESS;
}

int cuCtxSetFlags(unsigned flags) {
    (void)flags;
    return current ? SUCCESS : INVALID_CONTEXT;
}

int cuCtxSynchronize(void) {
    if (!current) return INVALID_CONTEXT;
    return finish_device(current->device);
}

int cuGetErrorName(int error, const char **name) {
    switch (error) {
    case INVALID_VALUE: *name = "CUDA_ERROR_INVALID_VALUE"; return SUCCESS;
    case OUT_OF_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; return SUCCESS;
    case NO_DEVICE: *name = "CUDA_ERROR_NO_DEVICE"; return SUCCESS;
    case INVALID_DEVICE: *name = "CUDA_ERROR_INVALID_DEVICE"; return SUCCESS;
    case INVALID_CONTEXT: *name = "CUDA_ERROR_INVALID_CONTEXT"; return SUCCESS;
    case ILLEGAL_STATE: *name = "CUDA_ERROR_ILLEGAL_STATE"; return SUCCESS;
    case NOT_READY: *name = "CUDA_ERROR_NOT_READY"; return SUCCESS;
    case ILLEGAL_ADDRESS: *name = "CUDA_ERROR_ILLEGAL_ADDRESS"; return SUCCESS;
    case CAPTURE_UNSUPPORTED: *name = "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"; return SUCCESS;
    case CAPTURE_INVALIDATED: *name = "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"; return SUCCESS;
    case CAPTURE_WRONG_THREAD: *name = "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD"; return SUCCESS;
    default: *name = NULL; return INVALID_VALUE;
    }
}

int cuGetErrorString(int error, const char **meaning) {
    switch (error) {
    case INVALID_VALUE: *meaning = "invalid argument"; return SUCCESS;
    case OUT_OF_MEMORY: *meaning = "out of memory"; return SUCCESS;
    case NO_DEVICE: *meaning = "no CUDA-capable device is detected"; return SUCCESS;
    case INVALID_DEVICE: *meaning = "invalid device ordinal"; return SUCCESS;
    case INVALID_CONTEXT: *meaning = "invalid device context"; return SUCCESS;
    case ILLEGAL_STATE: *meaning = "the operation cannot be performed in the present state"; return SUCCESS;
    case NOT_READY: *meaning = "device not ready"; return SUCCESS;
    case ILLEGAL_ADDRESS: *meaning = "an illegal memory access was encountered"; return SUCCESS;
    case CAPTURE_UNSUPPORTED: *meaning = "operation not permitted when stream is capturing"; return SUCCESS;
    case CAPTURE_INVALIDATED: *meaning = "operation failed due to a previous error during capture"; return SUCCESS;
    case CAPTURE_WRONG_THREAD: *meaning = "attempt to terminate a thread-local capture sequence from another thread"; return SUCCESS;
    default: *meaning = NULL; return INVALID_VALUE;
    }
}
