/* What the software devices' files have in common. */
#pragma once

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
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
    ILLEGAL_STATE = 401,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
    CAPTURE_WRONG_THREAD = 908,
};

struct context {
    int device;
};

/* The calling thread's context. */
extern _Thread_local struct context *current __attribute__((visibility("hidden")));

/* Set in every address of a device; no processor follows such an address. */
#define DEVICE_BIT (UINT64_C(1) << 62)

typedef uint64_t device_address;

/* One thing that a stream was told. The lengths of all but ADD are bytes; ADD adds to so many 32-bit floats. */
struct work {
    struct work *next;
    enum { COPY, CLEAR, ADD, FREE } kind;
    uint64_t target, source;
    size_t length;
    float addend;
};

struct stream;

#pragma GCC visibility push(hidden)

/* Of memory and streams. */
extern pthread_mutex_t lock;

/* Whether all of these bytes are memory of a device. The lock is held. */
bool is_allocated(device_address address, size_t length);
/* The lock is held. */
int free_now(device_address address);

/* Does what the streams of a device were told. */
int finish_device(int on_device);
/* As above; the lock is held. */
int finish_all(int on_device);
int tell(struct stream *stream, struct work work);
/* What cannot be recorded spoils the recording of the thread that calls it. Whether there was one. */
bool spoils_recording(void);

#pragma GCC visibility pop

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
