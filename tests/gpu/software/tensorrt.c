/* What stands in for the shim of the backend tensorrt, and TensorRT below it, on the devices of driver.c: `run` builds it.
 *
 * A plan is a header as TensorRT's and lines behind it (`engines.py` writes them):
 *
 *     addend 1.5                   what is added to every element of the input "x"; the sums are the output "y", both FP32
 *     dims -1,3                    of both, with the batch dimension
 *     profile 1,3 4,3 16,3         smallest, best and largest; one line for each profile
 *     unrecordable                 if there: no execution can be recorded
 *
 * As TensorRT it computes in the memory that its contexts are given, wants a context of the device on the thread, and
 * refuses to be recorded in the first execution after a change of shapes. Memory and addresses are checked by the driver.
 */
#define _GNU_SOURCE
#include "../../../host/backends/tensorrt/shim/nereid_tensorrt.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES 28
#define PROFILES_MAX 8
#define FLOAT_BYTES sizeof(float)

struct NereidTensorrtLibrary {
    int version;
};

struct NereidTensorrtEngine {
    float addend;
    bool is_unrecordable;
    NereidTensorrtShape dims;
    size_t profile_count;
    NereidTensorrtShape profiles[PROFILES_MAX][3];
};

struct NereidTensorrtContext {
    NereidTensorrtEngine *engine;
    size_t profile;
    uint64_t scratch, scratch_bytes;
    NereidTensorrtShape shape;
    uint64_t input, output;
    bool has_executed; /* since the shape was set */
};

/* Of the driver of driver.c. */
int cuCtxGetCurrent(void **context);
int cuStreamIsCapturing(void *stream, int *status);
int cuMemcpyDtoDAsync_v2(uint64_t target, uint64_t source, size_t length, void *stream);
int software_add(uint64_t target, uint64_t source, size_t floats, float addend, void *stream);

static NereidTensorrtLibrary library = {110400};

static void *fail(char **error, const char *text) {
    *error = strdup(text);
    return NULL;
}

/* TensorRT does not survive the lack of one. */
static void demand_context(void) {
    void *current = NULL;
    if (cuCtxGetCurrent(&current) || !current) abort();
}

static uint64_t elements(const NereidTensorrtShape *shape) {
    uint64_t product = 1;
    for (int32_t place = 0; place < shape->rank; place++) product *= (uint64_t)shape->extents[place];
    return product;
}

/* === Plans === */

/* Extents with commas between them; where the text goes on. */
static const char *read_shape(const char *text, NereidTensorrtShape *shape) {
    *shape = (NereidTensorrtShape){0};
    for (char *end; shape->rank < NEREID_TENSORRT_RANK_MAX; text = end + 1) {
        shape->extents[shape->rank++] = strtoll(text, &end, 10);
        if (*end != ',') return end;
    }
    return text;
}

static bool read_line(NereidTensorrtEngine *engine, const char *line) {
    if (!strcmp(line, "unrecordable")) return engine->is_unrecordable = true;
    if (!strncmp(line, "dims ", 5)) return *read_shape(line + 5, &engine->dims) == 0;
    if (sscanf(line, "addend %f", &engine->addend) == 1) return true;
    if (strncmp(line, "profile ", 8) || engine->profile_count == PROFILES_MAX) return false;
    const char *rest = line + 8;
    for (int which = 0; which < 3; which++) rest = read_shape(rest, &engine->profiles[engine->profile_count][which]) + 1;
    engine->profile_count += 1;
    return true;
}

NereidTensorrtEngine *nereid_tensorrt_deserialise(const NereidTensorrtLibrary *from, const void *plan, size_t length,
                                                  int32_t allow_code, char **error) {
    (void)from, (void)allow_code;
    demand_context();
    char *text = strndup((const char *)plan + HEADER_BYTES, length - HEADER_BYTES), *rest = text;
    NereidTensorrtEngine *engine = calloc(1, sizeof *engine);
    bool is_good = *text != 0;
    for (char *line; is_good && (line = strtok_r(rest, "\n", &rest));) is_good = read_line(engine, line);
    free(text);
    if (is_good && engine->profile_count) return engine;
    free(engine);
    return fail(error, "TensorRT refuses the plan: it is none of engines.py");
}

void nereid_tensorrt_free_engine(NereidTensorrtEngine *engine) {
    free(engine);
}

/* === The library and what an engine says of itself === */

int32_t nereid_tensorrt_interface(void) {
    return NEREID_TENSORRT_INTERFACE;
}

int32_t nereid_tensorrt_headers(void) {
    return library.version;
}

void nereid_tensorrt_free_text(char *text) {
    free(text);
}

NereidTensorrtLibrary *nereid_tensorrt_open(const char *path, char **error) {
    (void)path, (void)error;
    return &library;
}

int32_t nereid_tensorrt_version(const NereidTensorrtLibrary *of) {
    return of->version;
}

size_t nereid_tensorrt_tensor_count(const NereidTensorrtEngine *engine) {
    (void)engine;
    return 2;
}

const char *nereid_tensorrt_tensor_name(const NereidTensorrtEngine *engine, size_t index) {
    (void)engine;
    return index == 0 ? "x" : index == 1 ? "y" : NULL;
}

void nereid_tensorrt_describe(const NereidTensorrtEngine *engine, size_t index, NereidTensorrtTensor *tensor) {
    *tensor = (NereidTensorrtTensor){NEREID_TENSORRT_FP32, index == 0, 0, 1, engine->dims};
}

size_t nereid_tensorrt_profile_count(const NereidTensorrtEngine *engine) {
    return engine->profile_count;
}

int32_t nereid_tensorrt_profile(const NereidTensorrtEngine *engine, size_t index, size_t profile,
                                NereidTensorrtShape shapes[3]) {
    if (index != 0 || profile >= engine->profile_count) return 0;
    memcpy(shapes, engine->profiles[profile], sizeof engine->profiles[profile]);
    return 1;
}

uint64_t nereid_tensorrt_context_bytes(const NereidTensorrtEngine *engine, size_t profile) {
    return elements(&engine->profiles[profile][2]) * FLOAT_BYTES;
}

/* === Executions === */

NereidTensorrtContext *nereid_tensorrt_context(NereidTensorrtEngine *engine, size_t profile, void *stream, uint64_t memory,
                                               uint64_t length, char **error) {
    (void)stream;
    demand_context();
    if (length < nereid_tensorrt_context_bytes(engine, profile)) return fail(error, "too little memory for the profile");
    NereidTensorrtContext *context = calloc(1, sizeof *context);
    *context = (NereidTensorrtContext){.engine = engine, .profile = profile, .scratch = memory, .scratch_bytes = length};
    return context;
}

void nereid_tensorrt_free_context(NereidTensorrtContext *context) {
    free(context);
}

int32_t nereid_tensorrt_set_input(NereidTensorrtContext *context, const char *name, const NereidTensorrtShape *shape,
                                  uint64_t address, char **error) {
    const NereidTensorrtShape *bounds = context->engine->profiles[context->profile];
    bool fits = !strcmp(name, "x") && shape->rank == bounds[0].rank;
    for (int32_t place = 0; fits && place < shape->rank; place++) {
        int64_t extent = shape->extents[place];
        fits = bounds[0].extents[place] <= extent && extent <= bounds[2].extents[place];
    }
    if (!fits) return fail(error, "TensorRT refuses input 'x': its profile does not allow the shape"), 0;
    if (memcmp(&context->shape, shape, sizeof *shape)) context->has_executed = false;
    context->shape = *shape;
    context->input = address;
    return 1;
}

int32_t nereid_tensorrt_output_shape(const NereidTensorrtContext *context, const char *name, NereidTensorrtShape *shape) {
    *shape = context->shape;
    return !strcmp(name, "y");
}

int32_t nereid_tensorrt_set_output(NereidTensorrtContext *context, const char *name, uint64_t address, char **error) {
    if (strcmp(name, "y")) return fail(error, "TensorRT has no such output"), 0;
    context->output = address;
    return 1;
}

int32_t nereid_tensorrt_enqueue(NereidTensorrtContext *context, void *stream, char **error) {
    demand_context();
    int recording = 0;
    cuStreamIsCapturing(stream, &recording);
    if (recording && context->engine->is_unrecordable) return fail(error, "a layer waits for the host"), 0;
    if (recording && !context->has_executed) return fail(error, "the shapes are new to the context"), 0;
    uint64_t count = elements(&context->shape);
    int told = cuMemcpyDtoDAsync_v2(context->scratch, context->input, count * FLOAT_BYTES, stream);
    if (!told) told = software_add(context->output, context->scratch, count, context->engine->addend, stream);
    context->has_executed = !told;
    return told ? (fail(error, "TensorRT could not start the execution: the driver refused"), 0) : 1;
}
