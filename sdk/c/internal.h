/* What the files of the SDK share: handles, the memory of a call, the way to the contract's bindings. Not for plugins. */
#ifndef NEREID_INTERNAL_H
#define NEREID_INTERNAL_H

#include "nereid.h"
#include "nereid_bindings.h"

#include <string.h>

typedef nereid_bindings_string_t host_string;
typedef nereid_plugin_types_error_t host_error;
typedef nereid_plugin_tensors_own_tensor_t host_tensor;
typedef nereid_plugin_serving_response_t host_response;

/* No handle: it was dropped, or given to the host. */
#define GONE (-1)

struct nereid_tensor {
    host_tensor handle;
};

struct nereid_request {
    nereid_plugin_serving_own_request_t handle;
    /* What the host gave besides; nothing in plugins of whole batches, which ask for each. */
    const nereid_plugin_tensors_named_t *inputs;
    size_t input_count;
};

struct nereid_response {
    nereid_plugin_tensors_named_t *outputs;
    nereid_tensor **output_tensors; /* whose handles are in `outputs`, until the host has them */
    nereid_plugin_types_parameter_t *parameters;
    size_t output_count, parameter_count;
};

/* Remembers memory that malloc gave, to be freed when the call ends. */
void *nereid_keep(void *memory);
/* Frees such memory before. */
void nereid_release(void *memory);
/* A copy that the bindings free. */
uint8_t *nereid_returned(const void *data, size_t size);
/* Memory that outlives the call. */
void *nereid_lasting(size_t size);
/* Notes a handle, to be dropped when the call ends. */
nereid_tensor *nereid_own_tensor(host_tensor handle);
void nereid_own_pending(nereid_plugin_inference_own_pending_t handle);

/* Frees what is of the call. */
void nereid_end_call(void);

/* Gives `succeeded`; remembers the host's error where it did not. */
bool nereid_checked(bool succeeded, const host_error *error);
/* Whether an argument is missing, because what was to make it failed. */
bool nereid_missing(const void *argument);

/* A list with room for one more element: grows by doubling. */
void *nereid_room(void *list, size_t count, size_t element_size);

/* The response as the host takes it, which has its handles then. With `returned` every part is memory that the bindings free. */
host_response nereid_to_host(nereid_response *response, bool returned);
host_error nereid_error_to_host(void);

nereid_plugin_types_value_t nereid_value_to_host(nereid_value value);
const nereid_parameter *nereid_parameters_from_host(const nereid_plugin_types_parameter_t *parameters, size_t count);

static inline host_string host_text(const char *text) {
    return (host_string){(uint8_t *)text, strlen(text)};
}

static inline const char *own_text(host_string text) {
    return nereid_string((nereid_bytes){text.ptr, text.len});
}

static inline nereid_plugin_tensors_borrow_tensor_t borrowed(const nereid_tensor *tensor) {
    return nereid_plugin_tensors_borrow_tensor(tensor->handle);
}

/* The end of a function whose last but one argument is a tensor that is made. */
#define MAKE(function, ...)                                       \
    host_tensor made_;                                            \
    host_error failure_;                                          \
    bool succeeded_ = function(__VA_ARGS__, &made_, &failure_);   \
    return nereid_checked(succeeded_, &failure_) ? nereid_own_tensor(made_) : NULL

#endif
