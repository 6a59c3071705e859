/* Calls of other models, through the same queues, batchers and limits as a client's requests. */

#include "internal.h"

struct nereid_call {
    nereid_plugin_inference_call_t host;
    nereid_tensor **inputs; /* whose handles are in `host.inputs`, until the host has them */
};

struct nereid_pending {
    nereid_plugin_inference_own_pending_t handle;
};

struct nereid_reply {
    nereid_tensor **outputs;
    const char **names;
    size_t count;
    const nereid_parameter *parameters;
    size_t parameter_count;
};

nereid_call *nereid_call_of(const char *model) {
    nereid_call *call = memset(nereid_alloc(sizeof *call), 0, sizeof *call);
    call->host.model = host_text(nereid_string(nereid_bytes_of(model)));
    return call;
}

nereid_call *nereid_call_input(nereid_call *call, const char *name, nereid_tensor *tensor) {
    nereid_tensor *shared = nereid_share(tensor);
    if (nereid_missing(call) || nereid_missing(shared)) {
        return NULL;
    }
    size_t count = call->host.inputs.len++;
    call->host.inputs.ptr = nereid_room(call->host.inputs.ptr, count, sizeof *call->host.inputs.ptr);
    call->inputs = nereid_room(call->inputs, count, sizeof *call->inputs);
    host_string text = host_text(nereid_string(nereid_bytes_of(name)));
    call->host.inputs.ptr[count] = (nereid_plugin_tensors_named_t){text, shared->handle};
    call->inputs[count] = shared;
    return call;
}

nereid_call *nereid_call_output(nereid_call *call, const char *name) {
    if (nereid_missing(call)) {
        return NULL;
    }
    nereid_bindings_list_string_t *wanted = &call->host.wanted_outputs;
    size_t count = wanted->len++;
    wanted->ptr = nereid_room(wanted->ptr, count, sizeof *wanted->ptr);
    wanted->ptr[count] = host_text(nereid_string(nereid_bytes_of(name)));
    return call;
}

nereid_call *nereid_call_parameter(nereid_call *call, const char *name, nereid_value value) {
    if (nereid_missing(call)) {
        return NULL;
    }
    nereid_plugin_inference_list_parameter_t *parameters = &call->host.parameters;
    size_t count = parameters->len++;
    parameters->ptr = nereid_room(parameters->ptr, count, sizeof *parameters->ptr);
    if (value.kind == NEREID_TEXT) {
        value.text = nereid_string(nereid_bytes_of(value.text));
    }
    host_string text = host_text(nereid_string(nereid_bytes_of(name)));
    parameters->ptr[count] = (nereid_plugin_types_parameter_t){text, nereid_value_to_host(value)};
    return call;
}

nereid_call *nereid_call_version(nereid_call *call, uint64_t version) {
    if (!nereid_missing(call)) {
        call->host.version = (nereid_bindings_option_u64_t){true, version};
    }
    return call;
}

nereid_call *nereid_call_timeout_ms(nereid_call *call, uint32_t milliseconds) {
    if (!nereid_missing(call)) {
        call->host.timeout_ms = (nereid_bindings_option_u32_t){true, milliseconds};
    }
    return call;
}

nereid_call *nereid_call_id(nereid_call *call, const char *id) {
    if (!nereid_missing(call)) {
        call->host.id = (nereid_bindings_option_string_t){true, host_text(nereid_string(nereid_bytes_of(id)))};
    }
    return call;
}

nereid_call *nereid_call_priority(nereid_call *call, uint64_t priority) {
    if (!nereid_missing(call)) {
        call->host.priority = (nereid_bindings_option_u64_t){true, priority};
    }
    return call;
}

nereid_call *nereid_call_sequence(nereid_call *call, nereid_sequence sequence) {
    if (nereid_missing(call)) {
        return NULL;
    }
    nereid_plugin_serving_sequence_t *host = &call->host.sequence.val;
    call->host.sequence.is_some = true;
    host->start = sequence.start;
    host->end = sequence.end;
    if (sequence.text == NULL) {
        host->id.tag = NEREID_PLUGIN_SERVING_SEQUENCE_ID_NUMBER;
        host->id.val.number = sequence.number;
    } else {
        host->id.tag = NEREID_PLUGIN_SERVING_SEQUENCE_ID_TEXT;
        host->id.val.text = host_text(nereid_string(nereid_bytes_of(sequence.text)));
    }
    return call;
}

/* The handles of its inputs are the host's from now on. */
static nereid_plugin_inference_call_t *given(nereid_call *call) {
    for (size_t index = 0; index < call->host.inputs.len; index++) {
        call->inputs[index]->handle.__handle = GONE;
    }
    return &call->host;
}

static nereid_reply *reply_of(const host_response *response) {
    nereid_reply *reply = nereid_alloc(sizeof *reply);
    reply->count = response->outputs.len;
    reply->outputs = nereid_alloc(reply->count * sizeof *reply->outputs);
    reply->names = nereid_alloc(reply->count * sizeof *reply->names);
    for (size_t index = 0; index < reply->count; index++) {
        reply->outputs[index] = nereid_own_tensor(response->outputs.ptr[index].data);
        reply->names[index] = own_text(response->outputs.ptr[index].name);
    }
    reply->parameter_count = response->parameters.len;
    reply->parameters = nereid_parameters_from_host(response->parameters.ptr, response->parameters.len);
    return reply;
}

nereid_reply *nereid_infer(nereid_call *call) {
    if (nereid_missing(call)) {
        return NULL;
    }
    host_response response;
    host_error error;
    bool is_answered = nereid_plugin_inference_infer(given(call), &response, &error);
    return nereid_checked(is_answered, &error) ? reply_of(&response) : NULL;
}

nereid_pending *nereid_submit(nereid_call *call) {
    if (nereid_missing(call)) {
        return NULL;
    }
    nereid_pending *pending = nereid_alloc(sizeof *pending);
    host_error error;
    bool is_under_way = nereid_plugin_inference_submit(given(call), &pending->handle, &error);
    if (!nereid_checked(is_under_way, &error)) {
        return NULL;
    }
    nereid_own_pending(pending->handle);
    return pending;
}

static nereid_plugin_inference_borrow_pending_t awaited(const nereid_pending *pending) {
    return nereid_plugin_inference_borrow_pending(pending->handle);
}

nereid_reply *nereid_receive(nereid_pending *pending) {
    if (nereid_missing(pending)) {
        return NULL;
    }
    nereid_plugin_inference_option_response_t response;
    host_error error;
    bool is_received = nereid_plugin_inference_method_pending_receive(awaited(pending), &response, &error);
    return nereid_checked(is_received, &error) && response.is_some ? reply_of(&response.val) : NULL;
}

bool nereid_ready(const nereid_pending *pending) {
    return !nereid_missing(pending) && nereid_plugin_inference_method_pending_ready(awaited(pending));
}

void nereid_cancel(nereid_pending *pending) {
    if (pending != NULL) {
        nereid_plugin_inference_method_pending_cancel(awaited(pending));
    }
}

size_t nereid_wait_any(nereid_pending **calls, size_t count, uint32_t timeout_ms) {
    nereid_plugin_inference_list_borrow_pending_t list = {nereid_alloc(count * sizeof *list.ptr), count};
    for (size_t index = 0; index < count; index++) {
        if (nereid_missing(calls[index])) {
            return count;
        }
        list.ptr[index] = awaited(calls[index]);
    }
    nereid_bindings_option_u32_t first;
    host_error error;
    bool is_over = nereid_plugin_inference_wait_any(&list, timeout_ms == 0 ? NULL : &timeout_ms, &first, &error);
    return nereid_checked(is_over, &error) && first.is_some ? first.val : count;
}

nereid_tensor *nereid_reply_output(const nereid_reply *reply, const char *name) {
    if (nereid_missing(reply)) {
        return NULL;
    }
    for (size_t index = 0; index < reply->count; index++) {
        if (strcmp(reply->names[index], name) == 0) {
            return reply->outputs[index];
        }
    }
    nereid_fail(NEREID_INTERNAL, "output '%s' is missing", name);
    return NULL;
}

const nereid_parameter *nereid_reply_parameters(const nereid_reply *reply, size_t *count) {
    *count = nereid_missing(reply) ? 0 : reply->parameter_count;
    return *count == 0 ? NULL : reply->parameters;
}

bool nereid_model_ready(const char *model, uint64_t version) {
    host_string text = host_text(model);
    return nereid_plugin_inference_model_ready(&text, version == 0 ? NULL : &version);
}
