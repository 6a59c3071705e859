/* The software devices' streams: what they are told, when it is done, and recordings of it (CUDA graphs).
 *
 * A recording keeps addresses and nothing else, so that memory that is gone when it is launched, or that nobody refilled,
 * shows. What a real device could not record spoils the recording, and the driver says so when it ends.
 */
#define _GNU_SOURCE
#include "driver.h"

struct list {
    struct work *first, **last;
};

struct stream {
    struct stream *next;
    struct list told;
    int device;
    bool asked; /* by cuStreamQuery, since it was told something */
    bool spoilt;
    struct graph *recording;
};

/* A recording; what is launched is one too. */
struct graph {
    struct list told;
};

static struct stream *streams;

/* The stream that records what this thread tells it. */
static _Thread_local struct stream *recorder;

static uint8_t *host(uint64_t address) {
    return (uint8_t *)(uintptr_t)(address & ~DEVICE_BIT);
}

static void append(struct list *list, struct work work) {
    struct work *told = malloc(sizeof *told);
    *told = work;
    told->next = NULL;
    *list->last = told;
    list->last = &told->next;
}

static void append_all(struct list *list, const struct list *more) {
    for (const struct work *work = more->first; work; work = work->next) append(list, *work);
}

static void empty(struct list *list) {
    while (list->first) {
        struct work *work = list->first;
        list->first = work->next;
        free(work);
    }
    list->last = &list->first;
}

/* === Doing: the lock is held === */

static bool has_memory(const struct work *work) {
    size_t bytes = work->kind == ADD ? work->length * sizeof(float) : work->length;
    return (!(work->target & DEVICE_BIT) || is_allocated(work->target, bytes)) &&
           (!(work->source & DEVICE_BIT) || is_allocated(work->source, bytes));
}

static int perform(const struct work *work) {
    if (!has_memory(work)) return ILLEGAL_ADDRESS;
    const float *summands = (const float *)host(work->source);
    float *sums = (float *)host(work->target);
    switch (work->kind) {
    case COPY: memcpy(host(work->target), host(work->source), work->length); return SUCCESS;
    case CLEAR: memset(host(work->target), 0, work->length); return SUCCESS;
    case ADD:
        for (size_t index = 0; index < work->length; index++) sums[index] = summands[index] + work->addend;
        return SUCCESS;
    case FREE: return free_now(work->target);
    }
    return INVALID_VALUE;
}

static int finish(struct stream *stream) {
    int result = SUCCESS;
    for (const struct work *work = stream->told.first; work; work = work->next) {
        int performed = perform(work);
        result = result ? result : performed;
    }
    empty(&stream->told);
    stream->asked = false;
    return result;
}

int finish_all(int on_device) {
    int result = SUCCESS;
    for (struct stream *stream = streams; stream; stream = stream->next) {
        int finished = stream->device == on_device ? finish(stream) : SUCCESS;
        result = result ? result : finished;
    }
    return result;
}

int finish_device(int on_device) {
    pthread_mutex_lock(&lock);
    int result = finish_all(on_device);
    pthread_mutex_unlock(&lock);
    return result;
}

/* === Telling === */

static int record(struct stream *stream, struct work work) {
    if (work.kind == FREE) stream->spoilt = true; /* only what the recording itself allocated could be freed in it */
    if (stream->spoilt) return CAPTURE_INVALIDATED;
    append(&stream->recording->told, work);
    return SUCCESS;
}

int tell(struct stream *stream, struct work work) {
    if (!current) return INVALID_CONTEXT;
    if (!stream) return INVALID_VALUE; /* the server has no use for the default stream */
    pthread_mutex_lock(&lock);
    int result = has_memory(&work) ? SUCCESS : INVALID_VALUE;
    if (!result && stream->recording)
        result = record(stream, work);
    else if (!result)
        append(&stream->told, work);
    pthread_mutex_unlock(&lock);
    return result;
}

bool spoils_recording(void) {
    if (recorder) recorder->spoilt = true;
    return recorder != NULL;
}

int cuMemcpyHtoDAsync_v2(device_address target, const void *source, size_t length, struct stream *stream) {
    struct work work = {.kind = COPY, .target = target, .source = (uintptr_t)source, .length = length};
    return target & DEVICE_BIT ? tell(stream, work) : INVALID_VALUE;
}

int cuMemcpyDtoHAsync_v2(void *target, device_address source, size_t length, struct stream *stream) {
    struct work work = {.kind = COPY, .target = (uintptr_t)target, .source = source, .length = length};
    return source & DEVICE_BIT ? tell(stream, work) : INVALID_VALUE;
}

int cuMemcpyDtoDAsync_v2(device_address target, device_address source, size_t length, struct stream *stream) {
    struct work work = {.kind = COPY, .target = target, .source = source, .length = length};
    return target & source & DEVICE_BIT ? tell(stream, work) : INVALID_VALUE;
}

int cuMemsetD8Async(device_address target, unsigned char value, size_t length, struct stream *stream) {
    struct work work = {.kind = CLEAR, .target = target, .length = length};
    return target & DEVICE_BIT && !value ? tell(stream, work) : INVALID_VALUE;
}

/* The one kernel: tensorrt.c computes with it. Of no real driver. */
int software_add(device_address target, device_address source, size_t floats, float addend, struct stream *stream) {
    struct work work = {.kind = ADD, .target = target, .source = source, .length = floats, .addend = addend};
    return target & source & DEVICE_BIT ? tell(stream, work) : INVALID_VALUE;
}

/* === Streams === */

int cuStreamCreate(struct stream **stream, unsigned flags) {
    (void)flags;
    if (!current) return INVALID_CONTEXT;
    *stream = calloc(1, sizeof **stream);
    (*stream)->device = current->device;
    (*stream)->told.last = &(*stream)->told.first;
    pthread_mutex_lock(&lock);
    (*stream)->next = streams;
    streams = *stream;
    pthread_mutex_unlock(&lock);
    return SUCCESS;
}

/* With the stream's result where it can be waited for. */
static int wait_for(struct stream *stream) {
    if (!stream) return finish_all(current->device);
    stream->spoilt = stream->recording != NULL;
    return stream->recording ? CAPTURE_UNSUPPORTED : finish(stream);
}

int cuStreamSynchronize(struct stream *stream) {
    if (!current) return INVALID_CONTEXT;
    pthread_mutex_lock(&lock);
    int result = wait_for(stream);
    pthread_mutex_unlock(&lock);
    return result;
}

/* The first question comes too early. */
int cuStreamQuery(struct stream *stream) {
    if (!current || !stream) return INVALID_CONTEXT;
    pthread_mutex_lock(&lock);
    bool early = stream->told.first && !stream->asked;
    stream->asked = true;
    int result = early ? NOT_READY : wait_for(stream);
    pthread_mutex_unlock(&lock);
    return result;
}

int cuStreamDestroy_v2(struct stream *stream) {
    pthread_mutex_lock(&lock);
    int result = finish(stream);
    struct stream **place = &streams;
    while (*place != stream) place = &(*place)->next;
    *place = stream->next;
    pthread_mutex_unlock(&lock);
    free(stream);
    return result;
}

/* === Recordings === */

static struct graph *new_graph(void) {
    struct graph *graph = calloc(1, sizeof *graph);
    graph->told.last = &graph->told.first;
    return graph;
}

static int free_graph(struct graph *graph) {
    empty(&graph->told);
    free(graph);
    return current ? SUCCESS : INVALID_CONTEXT;
}

int cuStreamBeginCapture_v2(struct stream *stream, int mode) {
    if (!current) return INVALID_CONTEXT;
    if (mode != 1) return INVALID_VALUE; /* 1: what other threads do does not matter */
    if (stream->recording || recorder) return ILLEGAL_STATE;
    recorder = stream;
    stream->recording = new_graph();
    stream->spoilt = false;
    return SUCCESS;
}

int cuStreamIsCapturing(const struct stream *stream, int *status) {
    *status = !stream->recording ? 0 : stream->spoilt ? 2 : 1;
    return SUCCESS;
}

int cuStreamEndCapture(struct stream *stream, struct graph **graph) {
    *graph = NULL;
    if (!stream->recording) return ILLEGAL_STATE;
    if (recorder != stream) return CAPTURE_WRONG_THREAD;
    if (stream->spoilt)
        free_graph(stream->recording);
    else
        *graph = stream->recording;
    stream->recording = NULL;
    recorder = NULL;
    return *graph ? SUCCESS : CAPTURE_INVALIDATED;
}

int cuGraphInstantiateWithFlags(struct graph **launched, const struct graph *graph, unsigned long long flags) {
    if (flags) return INVALID_VALUE;
    *launched = new_graph();
    append_all(&(*launched)->told, &graph->told);
    return SUCCESS;
}

/* Nothing is looked at before it is done. */
int cuGraphLaunch(const struct graph *graph, struct stream *stream) {
    if (!current) return INVALID_CONTEXT;
    pthread_mutex_lock(&lock);
    append_all(stream->recording ? &stream->recording->told : &stream->told, &graph->told);
    pthread_mutex_unlock(&lock);
    return SUCCESS;
}

int cuGraphExecDestroy(struct graph *launched) {
    return free_graph(launched);
}

int cuGraphDestroy(struct graph *graph) {
    return free_graph(graph);
}
