/* NVML over the software devices of driver.c: `run` builds it as libnvidia-ml.so.1. A device never computes. */
#define _GNU_SOURCE
#include "driver.h"

#include <stdio.h>

enum { NOT_FOUND = 6 };

struct utilization {
    unsigned gpu, memory;
};

struct memory {
    unsigned version;
    unsigned long long total, reserved, free, used;
};

/* Handles are the devices' numbers, counted from 1. */
static int ordinal(const void *handle) {
    return (int)(intptr_t)handle - 1;
}

int nvmlInit_v2(void) {
    return SUCCESS;
}

int nvmlShutdown(void) {
    return SUCCESS;
}

const char *nvmlErrorString(int error) {
    return error == NOT_FOUND ? "Not Found" : "Success";
}

int nvmlDeviceGetHandleByUUID(const char *text, void **handle) {
    for (int device = 0; device < software_gpus(); device++) {
        uint8_t uuid[16];
        char own[64] = "GPU";
        software_uuid(uuid, device);
        for (int index = 0; index < 16; index++) {
            const char *dash = index == 0 || index == 4 || index == 6 || index == 8 || index == 10 ? "-" : "";
            snprintf(own + strlen(own), 4, "%s%02x", dash, uuid[index]);
        }
        if (!strcmp(text, own)) {
            *handle = (void *)(intptr_t)(device + 1);
            return SUCCESS;
        }
    }
    return NOT_FOUND;
}

int nvmlDeviceGetUtilizationRates(void *handle, struct utilization *rates) {
    (void)handle;
    *rates = (struct utilization){0, 0};
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(void *handle, struct memory *memory) {
    const unsigned long long reserved = 16 << 20;
    unsigned long long used = (unsigned long long)software_memory_used(ordinal(handle), 0) + reserved;
    unsigned long long total = SOFTWARE_GPU_BYTES + reserved;
    *memory = (struct memory){memory->version, total, reserved, total - used, used};
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(void *handle, unsigned *milliwatts) {
    (void)handle;
    *milliwatts = 10000;
    return SUCCESS;
}

int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned *milliwatts) {
    (void)handle;
    *milliwatts = 100000;
    return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *millijoules) {
    (void)handle;
    *millijoules = 1000;
    return SUCCESS;
}
