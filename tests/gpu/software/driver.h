/* What the software devices' files have in common. */
#pragma once

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SOFTWARE_GPUS_MAX 8
#define SOFTWARE_GPU_BYTES (INT64_C(2) << 30)

enum {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201,
    ILLEGAL_ADDRESS = 700,
};

struct context {
    int device;
};

/* The calling thread's context. */
extern _Thread_local struct context *current __attribute__((visibility("hidden")));

/* Does what the streams of a device were told. */
__attribute__((visibility("hidden"))) int finish_device(int on_device);

/* How many devices there are. */
static inline int software_gpus(void) {
    const char *asked = getenv("NEREID_SOFTWARE_GPUS");
    int count = asked ? atoi(asked) : 2;
    return count < 0 ? 0 : count > SOFTWARE_GPUS_MAX ? SOFTWARE_GPUS_MAX : count;
}

/* 16 bytes: "SOFTWARE", zeros, and the number of the device. */
static inline void software_uuid(uint8_t *uuid, int device) {
    memset(uuid, 0, 16);
    memcpy(uuid, "SOFTWARE", 8);
    uuid[15] = (uint8_t)device;
}

/* Adds to the memory that all processes have of a device; what it is then, in bytes. */
static inline int64_t software_memory_used(int device, int64_t more) {
    static _Atomic(int64_t) alone[SOFTWARE_GPUS_MAX];
    static _Atomic(int64_t) *_Atomic shared;
    const char *path = getenv("NEREID_SOFTWARE_GPU_STATE");
    if (!shared && path) {
        int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        void *mapped = MAP_FAILED;
        if (file >= 0 && !ftruncate(file, sizeof alone))
            mapped = mmap(NULL, sizeof alone, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (file >= 0) close(file);
        if (mapped != MAP_FAILED) shared = mapped;
    }
    return atomic_fetch_add(shared ? &shared[device] : &alone[device], more) + more;
}
