/* The software devices' memory, and memory of other processes. */
#define _GNU_SOURCE
#include "driver.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

#define FRESH_BYTE 0xDB
#define FRESH_BYTES_MAX ((size_t)1 << 20)

struct allocation {
    struct allocation *next;
    uint8_t *bytes;
    size_t length;
    int device;
    int file;       /* what another process opens; -1 for memory that another process allocated */
    ino_t identity; /* of that file */
    int openings;   /* of another process's memory, 0 for our own */
};

/* What cuIpcGetMemHandle writes. */
union handle {
    char reserved[64];
    struct {
        char kind[16];
        pid_t process;
        int file, device;
        ino_t identity;
        size_t length;
    } of;
};

static const char HANDLE_KIND[16] = "software memory";

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct allocation *allocations;

/* === Memory === */

static device_address device(const struct allocation *allocation) {
    return (uint64_t)(uintptr_t)allocation->bytes | DEVICE_BIT;
}

/* The allocation that has all of these bytes. */
static struct allocation *find(device_address address, size_t length) {
    for (struct allocation *found = allocations; found; found = found->next) {
        uint64_t offset = address - device(found);
        if (offset < found->length && length <= found->length - offset) return found;
    }
    return NULL;
}

static int map(int file, size_t length, int on_device, struct allocation **made) {
    struct stat status;
    void *bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (bytes == MAP_FAILED || fstat(file, &status)) return OUT_OF_MEMORY;
    struct allocation *allocation = calloc(1, sizeof *allocation);
    *allocation = (struct allocation){allocations, bytes, length, on_device, file, status.st_ino, 0};
    *made = allocations = allocation;
    return SUCCESS;
}

static void unmap(struct allocation *gone) {
    struct allocation **place = &allocations;
    while (*place != gone) place = &(*place)->next;
    *place = gone->next;
    munmap(gone->bytes, gone->length);
    if (gone->file >= 0) {
        close(gone->file);
        software_memory_used(gone->device, -(int64_t)gone->length);
    }
    free(gone);
}

bool is_allocated(device_address address, size_t length) {
    return find(address, length) != NULL;
}

int free_now(device_address address) {
    struct allocation *found = find(address, 0);
    if (!found || device(found) != address || found->openings) return INVALID_VALUE;
    unmap(found);
    return SUCCESS;
}

/* === The driver's functions: memory === */

int cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    if (!current) return INVALID_CONTEXT;
    *total = SOFTWARE_GPU_BYTES;
    *free_bytes = SOFTWARE_GPU_BYTES - (size_t)software_memory_used(current->device, 0);
    return SUCCESS;
}

int cuMemAlloc_v2(device_address *address, size_t length) {
    if (!current) return INVALID_CONTEXT;
    if (!length) return INVALID_VALUE;
    if (spoils_recording()) return CAPTURE_UNSUPPORTED;
    int on_device = current->device, result = OUT_OF_MEMORY;
    pthread_mutex_lock(&lock);
    bool fits = length <= SOFTWARE_GPU_BYTES;
    if (fits && software_memory_used(on_device, (int64_t)length) > SOFTWARE_GPU_BYTES) {
        finish_all(on_device); /* what was freed in the order of a stream comes back */
        fits = software_memory_used(on_device, 0) <= SOFTWARE_GPU_BYTES;
        if (!fits) software_memory_used(on_device, -(int64_t)length);
    }
    int file = fits ? memfd_create("software-gpu", MFD_CLOEXEC) : -1;
    struct allocation *made = NULL;
    if (file >= 0 && !ftruncate(file, (off_t)length)) result = map(file, length, on_device, &made);
    if (made) {
        memset(made->bytes, FRESH_BYTE, length < FRESH_BYTES_MAX ? length : FRESH_BYTES_MAX);
        *address = device(made);
    } else if (fits) {
        software_memory_used(on_device, -(int64_t)length);
        if (file >= 0) close(file);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int cuMemAllocAsync(device_address *address, size_t length, struct stream *stream) {
    return stream ? cuMemAlloc_v2(address, length) : INVALID_VALUE;
}

int cuMemFree_v2(device_address address) {
    if (!current) return INVALID_CONTEXT;
    if (spoils_recording()) return CAPTURE_UNSUPPORTED;
    pthread_mutex_lock(&lock);
    finish_all(current->device); /* the real one waits too */
    int result = free_now(address);
    pthread_mutex_unlock(&lock);
    return result;
}

int cuMemFreeAsync(device_address address, struct stream *stream) {
    return tell(stream, (struct work){.kind = FREE, .target = address});
}

int cuMemHostAlloc(void **address, size_t length, unsigned flags) {
    (void)flags;
    *address = aligned_alloc(4096, (length + 4095) / 4096 * 4096);
    return !current ? INVALID_CONTEXT : *address ? SUCCESS : OUT_OF_MEMORY;
}

int cuMemFreeHost(void *address) {
    free(address);
    return current ? SUCCESS : INVALID_CONTEXT;
}

int cuMemGetAddressRange_v2(device_address *base, size_t *length, device_address address) {
    pthread_mutex_lock(&lock);
    struct allocation *found = find(address, 0);
    if (found) *base = device(found), *length = found->length;
    pthread_mutex_unlock(&lock);
    return found ? SUCCESS : INVALID_VALUE;
}

/* === Memory of other processes === */

int cuIpcGetMemHandle(union handle *handle, device_address address) {
    pthread_mutex_lock(&lock);
    struct allocation *found = find(address, 0);
    bool own = found && found->file >= 0;
    if (own) {
        memset(handle, 0, sizeof *handle);
        memcpy(handle->of.kind, HANDLE_KIND, sizeof HANDLE_KIND);
        handle->of.process = getpid(), handle->of.file = found->file, handle->of.device = found->device;
        handle->of.identity = found->identity, handle->of.length = found->length;
    }
    pthread_mutex_unlock(&lock);
    return own ? SUCCESS : INVALID_VALUE;
}

/* The file behind a handle; -1 if it is none, or its process is gone. */
static int open_handle(const union handle *handle) {
    char path[64];
    struct stat status;
    if (memcmp(handle->of.kind, HANDLE_KIND, sizeof HANDLE_KIND) || handle->of.device != current->device) return -1;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", handle->of.process, handle->of.file);
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file >= 0 && (fstat(file, &status) || status.st_ino != handle->of.identity)) {
        close(file);
        return -1;
    }
    return file;
}

int cuIpcOpenMemHandle_v2(device_address *address, union handle handle, unsigned flags) {
    (void)flags;
    if (!current || handle.of.process == getpid()) return INVALID_CONTEXT;
    int file = open_handle(&handle), result = file < 0 ? INVALID_VALUE : SUCCESS;
    pthread_mutex_lock(&lock);
    struct allocation *found = file < 0 ? NULL : allocations;
    while (found && !(found->openings && found->identity == handle.of.identity)) found = found->next;
    if (!found && file >= 0) result = map(file, handle.of.length, handle.of.device, &found);
    if (found) {
        found->file = -1;
        found->openings += 1;
        *address = device(found);
    }
    pthread_mutex_unlock(&lock);
    if (file >= 0) close(file);
    return result;
}

int cuIpcCloseMemHandle(device_address address) {
    pthread_mutex_lock(&lock);
    struct allocation *found = find(address, 0);
    bool opened = found && found->openings;
    if (opened) {
        finish_all(found->device);
        if (--found->openings == 0) unmap(found);
    }
    pthread_mutex_unlock(&lock);
    return opened ? SUCCESS : INVALID_VALUE;
}
