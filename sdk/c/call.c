/* One call of the host: its memory, its handles, its error. All of it ends when the call does. */

#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static struct {
    void **blocks;
    size_t block_count, block_room;
    nereid_tensor **tensors;
    size_t tensor_count, tensor_room;
    nereid_plugin_inference_own_pending_t *pendings;
    size_t pending_count, pending_room;
    bool has_failed;
    nereid_code code;
    const char *text;
    size_t batch_size;
} call;

/* Memory that cannot be had ends the guest: the host's limit is reached, and says so. */
static void *must(void *memory) {
    if (memory == NULL) {
        abort();
    }
    return memory;
}

#define PUSH(list, count, room, element)                                      \
    do {                                                                      \
        if ((count) == (room)) {                                              \
            (room) = (room) == 0 ? 16 : 2 * (room);                           \
            (list) = must(realloc((list), (room) * sizeof *(list)));          \
        }                                                                     \
        (list)[(count)++] = (element);                                        \
    } while (0)

void *nereid_keep(void *memory) {
    PUSH(call.blocks, call.block_count, call.block_room, must(memory));
    return memory;
}

void *nereid_alloc(size_t size) {
    return nereid_keep(malloc(size == 0 ? 1 : size));
}

void nereid_release(void *memory) {
    for (size_t index = call.block_count; index-- > 0;) {
        if (call.blocks[index] == memory) {
            call.blocks[index] = call.blocks[--call.block_count];
            free(memory);
            return;
        }
    }
}

void *nereid_lasting(size_t size) {
    void *memory = malloc(size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

/* What the host writes into this guest is of the call, too. Takes the place of the bindings' own, which is weak. */
__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
    if (size == 0) {
        return (void *)align;
    }
    void *memory = nereid_alloc(size);
    if (old_size != 0) {
        memcpy(memory, old, old_size < size ? old_size : size);
    }
    return memory;
}

nereid_tensor *nereid_own_tensor(host_tensor handle) {
    nereid_tensor *tensor = nereid_alloc(sizeof *tensor);
    tensor->handle = handle;
    PUSH(call.tensors, call.tensor_count, call.tensor_room, tensor);
    return tensor;
}

void nereid_own_pending(nereid_plugin_inference_own_pending_t handle) {
    PUSH(call.pendings, call.pending_count, call.pending_room, handle);
}

void *nereid_room(void *list, size_t count, size_t element_size) {
    bool is_full = count == 0 || (count >= 4 && (count & (count - 1)) == 0);
    if (!is_full) {
        return list;
    }
    void *larger = nereid_alloc((count == 0 ? 4 : 2 * count) * element_size);
    return count == 0 ? larger : memcpy(larger, list, count * element_size);
}

void nereid_end_call(void) {
    for (size_t index = 0; index < call.tensor_count; index++) {
        nereid_drop(call.tensors[index]);
    }
    for (size_t index = 0; index < call.pending_count; index++) {
        nereid_plugin_inference_pending_drop_own(call.pendings[index]);
    }
    for (size_t index = 0; index < call.block_count; index++) {
        free(call.blocks[index]);
    }
    call.tensor_count = call.pending_count = call.block_count = call.batch_size = 0;
    nereid_clear();
}

/* === Errors === */

bool nereid_fail(nereid_code code, const char *format, ...) {
    if (call.has_failed) {
        return false;
    }
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    size_t size = (size_t)vsnprintf(NULL, 0, format, arguments) + 1;
    char *text = nereid_alloc(size);
    vsnprintf(text, size, format, again);
    va_end(again);
    va_end(arguments);
    call.has_failed = true;
    call.code = code;
    call.text = text;
    return false;
}

const char *nereid_error(nereid_code *code) {
    if (!call.has_failed) {
        return NULL;
    }
    if (code != NULL) {
        *code = call.code;
    }
    return call.text;
}

void nereid_clear(void) {
    call.has_failed = false;
    call.text = NULL;
}

bool nereid_checked(bool succeeded, const host_error *error) {
    return succeeded || nereid_fail((nereid_code)error->code, "%.*s", (int)error->message.len, error->message.ptr);
}

bool nereid_missing(const void *argument) {
    if (argument == NULL) {
        nereid_fail(NEREID_INTERNAL, "the plugin handed on nothing where something is needed");
    }
    return argument == NULL;
}

uint8_t *nereid_returned(const void *data, size_t size) {
    return size == 0 ? NULL : memcpy(must(malloc(size)), data, size);
}

host_error nereid_error_to_host(void) {
    const char *text = call.has_failed ? call.text : "the plugin failed without saying why";
    size_t size = strlen(text);
    host_error error = {call.has_failed ? (uint8_t)call.code : NEREID_INTERNAL, {nereid_returned(text, size), size}};
    return error;
}

/* === Responses === */

nereid_response *nereid_response_new(void) {
    return memset(nereid_alloc(sizeof(nereid_response)), 0, sizeof(nereid_response));
}

bool nereid_output(nereid_response *response, const char *name, nereid_tensor *tensor) {
    nereid_tensor *shared = nereid_share(tensor);
    if (nereid_missing(response) || nereid_missing(shared)) {
        return false;
    }
    size_t count = response->output_count;
    response->outputs = nereid_room(response->outputs, count, sizeof *response->outputs);
    response->output_tensors = nereid_room(response->output_tensors, count, sizeof *response->output_tensors);
    nereid_bytes copy = nereid_bytes_of(nereid_string(nereid_bytes_of(name)));
    response->outputs[count] = (nereid_plugin_tensors_named_t){{(uint8_t *)copy.data, copy.size}, shared->handle};
    response->output_tensors[count] = shared;
    response->output_count++;
    return true;
}

bool nereid_set(nereid_response *response, const char *name, nereid_value value) {
    if (nereid_missing(response)) {
        return false;
    }
    size_t count = response->parameter_count;
    response->parameters = nereid_room(response->parameters, count, sizeof *response->parameters);
    nereid_plugin_types_parameter_t *parameter = &response->parameters[count];
    parameter->name = host_text(nereid_string(nereid_bytes_of(name)));
    if (value.kind == NEREID_TEXT) {
        value.text = nereid_string(nereid_bytes_of(value.text));
    }
    parameter->value = nereid_value_to_host(value);
    response->parameter_count++;
    return true;
}

static host_string returned_string(host_string text) {
    return (host_string){nereid_returned(text.ptr, text.len), text.len};
}

host_response nereid_to_host(nereid_response *response, bool returned) {
    for (size_t index = 0; index < response->output_count; index++) {
        response->output_tensors[index]->handle.__handle = GONE;
    }
    host_response host = {
        {response->outputs, response->output_count},
        {response->parameters, response->parameter_count},
    };
    if (!returned) {
        return host;
    }
    host.outputs.ptr = (void *)nereid_returned(host.outputs.ptr, host.outputs.len * sizeof *host.outputs.ptr);
    for (size_t index = 0; index < host.outputs.len; index++) {
        host.outputs.ptr[index].name = returned_string(host.outputs.ptr[index].name);
    }
    host.parameters.ptr = (void *)nereid_returned(host.parameters.ptr, host.parameters.len * sizeof *host.parameters.ptr);
    for (size_t index = 0; index < host.parameters.len; index++) {
        nereid_plugin_types_parameter_t *parameter = &host.parameters.ptr[index];
        parameter->name = returned_string(parameter->name);
        if (parameter->value.tag == NEREID_PLUGIN_TYPES_VALUE_TEXT) {
            parameter->value.val.text = returned_string(parameter->value.val.text);
        }
    }
    return host;
}

/* === What the host calls === */

__attribute__((weak)) bool nereid_initialise(void) {
    return true;
}

__attribute__((weak)) void nereid_finalise(void) {
}

size_t nereid_batch_size(void) {
    return call.batch_size;
}

#ifdef NEREID_TRANSFORM_PLUGIN

bool exports_nereid_plugin_transform_run(exports_nereid_plugin_transform_own_request_t handle,
    exports_nereid_plugin_transform_list_named_t *inputs, host_response *answer, host_error *error) {
    static bool is_initialised;
    call.batch_size = 1;
    nereid_request request = {handle, inputs->ptr, inputs->len};
    for (size_t index = 0; index < inputs->len; index++) {
        nereid_own_tensor(inputs->ptr[index].data);
    }
    nereid_response response = {0};
    is_initialised = is_initialised || nereid_initialise();
    bool is_answered = is_initialised && nereid_run(&request, &response);
    if (is_answered) {
        *answer = nereid_to_host(&response, true);
    } else {
        *error = nereid_error_to_host();
    }
    nereid_plugin_serving_request_drop_own(handle);
    nereid_end_call();
    return is_answered;
}

#else

typedef exports_nereid_plugin_model_outcome_t host_outcome;

bool exports_nereid_plugin_model_initialise(host_error *error) {
    bool is_ready = nereid_initialise();
    if (!is_ready) {
        *error = nereid_error_to_host();
    }
    nereid_end_call();
    return is_ready;
}

static host_outcome outcome_of(nereid_request *request) {
    nereid_clear();
    nereid_response response = {0};
    host_outcome outcome = {EXPORTS_NEREID_PLUGIN_MODEL_OUTCOME_DEFERRED, {{{0}}}};
    switch (nereid_answer(request, &response)) {
    case NEREID_ANSWERED:
        outcome.tag = EXPORTS_NEREID_PLUGIN_MODEL_OUTCOME_ANSWER;
        outcome.val.answer = nereid_to_host(&response, true);
        break;
    case NEREID_DEFERRED:
        break;
    case NEREID_RESCHEDULED:
        /* Parameters have no place there. */
        response.parameter_count = 0;
        outcome.tag = EXPORTS_NEREID_PLUGIN_MODEL_OUTCOME_RESCHEDULE;
        host_response states = nereid_to_host(&response, true);
        outcome.val.reschedule.ptr = states.outputs.ptr;
        outcome.val.reschedule.len = states.outputs.len;
        break;
    default:
        outcome.tag = EXPORTS_NEREID_PLUGIN_MODEL_OUTCOME_FAILURE;
        outcome.val.failure = nereid_error_to_host();
    }
    return outcome;
}

void exports_nereid_plugin_model_execute(
    exports_nereid_plugin_model_list_own_request_t *batch, exports_nereid_plugin_model_list_outcome_t *outcomes) {
    call.batch_size = batch->len;
    outcomes->len = batch->len;
    outcomes->ptr = must(malloc(batch->len * sizeof *outcomes->ptr));
    for (size_t index = 0; index < batch->len; index++) {
        nereid_request request = {batch->ptr[index], NULL, 0};
        outcomes->ptr[index] = outcome_of(&request);
        nereid_plugin_serving_request_drop_own(request.handle);
    }
    nereid_end_call();
}

void exports_nereid_plugin_model_finalise(void) {
    nereid_finalise();
    nereid_end_call();
}

#endif
