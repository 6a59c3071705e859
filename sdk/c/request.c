/* What a plugin is asked, values, and senders. */

#include "internal.h"

#include <stdlib.h>

typedef nereid_plugin_serving_borrow_request_t host_request;

struct nereid_sender {
    nereid_plugin_serving_own_sender_t handle;
};

static host_request asked(const nereid_request *request) {
    return nereid_plugin_serving_borrow_request(request->handle);
}

/* === Values === */

nereid_value nereid_boolean(bool value) {
    return (nereid_value){.kind = NEREID_BOOLEAN, .boolean = value};
}

nereid_value nereid_integer(int64_t value) {
    return (nereid_value){.kind = NEREID_INT, .integer = value};
}

nereid_value nereid_number(double value) {
    return (nereid_value){.kind = NEREID_DOUBLE, .number = value};
}

nereid_value nereid_text(const char *value) {
    return (nereid_value){.kind = NEREID_TEXT, .text = value};
}

nereid_bytes nereid_bytes_of(const char *text) {
    return (nereid_bytes){(const uint8_t *)text, strlen(text)};
}

const char *nereid_string(nereid_bytes bytes) {
    char *text = nereid_alloc(bytes.size + 1);
    if (bytes.size != 0) {
        memcpy(text, bytes.data, bytes.size);
    }
    text[bytes.size] = 0;
    return text;
}

nereid_plugin_types_value_t nereid_value_to_host(nereid_value value) {
    nereid_plugin_types_value_t host = {.tag = (uint8_t)value.kind};
    switch (value.kind) {
    case NEREID_BOOLEAN:
        host.val.boolean = value.boolean;
        break;
    case NEREID_DOUBLE:
        host.val.double_ = value.number;
        break;
    case NEREID_TEXT:
        host.val.text = host_text(value.text);
        break;
    default:
        host.val.uint = value.unsigned_integer;
    }
    return host;
}

static nereid_value value_from_host(const nereid_plugin_types_value_t *host) {
    switch (host->tag) {
    case NEREID_PLUGIN_TYPES_VALUE_BOOLEAN:
        return nereid_boolean(host->val.boolean);
    case NEREID_PLUGIN_TYPES_VALUE_DOUBLE:
        return nereid_number(host->val.double_);
    case NEREID_PLUGIN_TYPES_VALUE_TEXT:
        return nereid_text(own_text(host->val.text));
    case NEREID_PLUGIN_TYPES_VALUE_INT:
        return nereid_integer(host->val.int_);
    default:
        return (nereid_value){.kind = NEREID_UINT, .unsigned_integer = host->val.uint};
    }
}

const nereid_parameter *nereid_parameters_from_host(const nereid_plugin_types_parameter_t *parameters, size_t count) {
    nereid_parameter *own = nereid_alloc(count * sizeof *own);
    for (size_t index = 0; index < count; index++) {
        own[index] = (nereid_parameter){own_text(parameters[index].name), value_from_host(&parameters[index].value)};
    }
    return own;
}

/* === Requests === */

const char *nereid_id(const nereid_request *request) {
    host_string id;
    nereid_plugin_serving_method_request_id(asked(request), &id);
    return own_text(id);
}

uint64_t nereid_rows(const nereid_request *request) {
    return nereid_plugin_serving_method_request_rows(asked(request));
}

uint64_t nereid_priority(const nereid_request *request) {
    return nereid_plugin_serving_method_request_priority(asked(request));
}

const char *nereid_tenant(const nereid_request *request) {
    host_string tenant;
    return nereid_plugin_serving_method_request_tenant(asked(request), &tenant) ? own_text(tenant) : NULL;
}

bool nereid_sequence_of(const nereid_request *request, nereid_sequence *sequence) {
    nereid_plugin_serving_sequence_t host;
    if (!nereid_plugin_serving_method_request_sequence(asked(request), &host)) {
        return false;
    }
    bool is_text = host.id.tag == NEREID_PLUGIN_SERVING_SEQUENCE_ID_TEXT;
    *sequence = (nereid_sequence){
        is_text ? own_text(host.id.val.text) : NULL,
        is_text ? 0 : host.id.val.number,
        host.start,
        host.end,
    };
    return true;
}

bool nereid_wants(const nereid_request *request, const char *output) {
    host_string name = host_text(output);
    return nereid_plugin_serving_method_request_wants(asked(request), &name);
}

const char **nereid_wanted_outputs(const nereid_request *request, size_t *count) {
    nereid_bindings_list_string_t names;
    nereid_plugin_serving_method_request_wanted_outputs(asked(request), &names);
    const char **wanted = nereid_alloc(names.len * sizeof *wanted);
    for (size_t index = 0; index < names.len; index++) {
        wanted[index] = own_text(names.ptr[index]);
    }
    *count = names.len;
    return wanted;
}

uint32_t nereid_remaining_ms(const nereid_request *request) {
    return nereid_plugin_serving_method_request_remaining_ms(asked(request));
}

bool nereid_cancelled(const nereid_request *request) {
    return nereid_plugin_serving_method_request_cancelled(asked(request));
}

#ifdef NEREID_TRANSFORM_PLUGIN
static nereid_tensor *input_given(const nereid_request *request, const char *name) {
    size_t length = strlen(name);
    for (size_t index = 0; index < request->input_count; index++) {
        const nereid_plugin_tensors_named_t *input = &request->inputs[index];
        if (input->name.len == length && memcmp(input->name.ptr, name, length) == 0) {
            nereid_tensor given = {input->data};
            return nereid_share(&given);
        }
    }
    return NULL;
}
#endif

nereid_tensor *nereid_optional_input(nereid_request *request, const char *name) {
#ifdef NEREID_TRANSFORM_PLUGIN
    return input_given(request, name);
#else
    host_string text = host_text(name);
    nereid_plugin_serving_option_own_tensor_t input;
    host_error error;
    bool is_known = nereid_plugin_serving_method_request_input(asked(request), &text, &input, &error);
    if (!nereid_checked(is_known, &error) || !input.is_some) {
        return NULL;
    }
    return nereid_own_tensor(input.val);
#endif
}

nereid_tensor *nereid_input(nereid_request *request, const char *name) {
    nereid_tensor *input = nereid_optional_input(request, name);
    if (input == NULL) {
        nereid_fail(NEREID_INVALID_ARGUMENT, "input '%s' is missing", name);
    }
    return input;
}

const nereid_parameter *nereid_parameters(const nereid_request *request, size_t *count) {
    nereid_plugin_serving_list_parameter_t parameters;
    nereid_plugin_serving_method_request_parameters(asked(request), &parameters);
    *count = parameters.len;
    return nereid_parameters_from_host(parameters.ptr, parameters.len);
}

const nereid_value *nereid_parameter_of(const nereid_request *request, const char *name) {
    size_t count;
    const nereid_parameter *parameters = nereid_parameters(request, &count);
    /* Of two equal names the later counts. */
    while (count-- > 0) {
        if (strcmp(parameters[count].name, name) == 0) {
            return &parameters[count].value;
        }
    }
    return NULL;
}

const char *nereid_text_of(const nereid_request *request, const char *name, const char *fallback) {
    const nereid_value *value = nereid_parameter_of(request, name);
    return value != NULL && value->kind == NEREID_TEXT ? value->text : fallback;
}

int64_t nereid_int_of(const nereid_request *request, const char *name, int64_t fallback) {
    const nereid_value *value = nereid_parameter_of(request, name);
    return value != NULL && value->kind == NEREID_INT ? value->integer : fallback;
}

/* === Senders === */

static nereid_plugin_serving_borrow_sender_t sending(const nereid_sender *sender) {
    return nereid_plugin_serving_borrow_sender(sender->handle);
}

nereid_sender *nereid_sender_of(nereid_request *request) {
    nereid_plugin_serving_own_sender_t handle;
    host_error error;
    bool is_taken = nereid_plugin_serving_method_request_sender(asked(request), &handle, &error);
    if (!nereid_checked(is_taken, &error)) {
        return NULL;
    }
    /* Outlives the call. */
    nereid_sender *sender = malloc(sizeof *sender);
    if (sender == NULL) {
        abort();
    }
    sender->handle = handle;
    return sender;
}

static bool send(nereid_sender *sender, nereid_response *response, bool is_last) {
    if (nereid_missing(sender) || nereid_missing(response)) {
        return false;
    }
    host_response host = nereid_to_host(response, false);
    host_error error;
    return nereid_checked(nereid_plugin_serving_method_sender_send(sending(sender), &host, is_last, &error), &error);
}

bool nereid_send(nereid_sender *sender, nereid_response *response) {
    return send(sender, response, false);
}

bool nereid_sender_cancelled(const nereid_sender *sender) {
    return nereid_plugin_serving_method_sender_cancelled(sending(sender));
}

bool nereid_respond(nereid_sender *sender, nereid_response *response) {
    bool is_sent = send(sender, response, true);
    nereid_sender_drop(sender);
    return is_sent;
}

void nereid_finish(nereid_sender *sender) {
    if (sender != NULL) {
        nereid_plugin_serving_method_sender_finish(sending(sender));
    }
    nereid_sender_drop(sender);
}

void nereid_sender_fail(nereid_sender *sender, nereid_code code, const char *message) {
    if (sender != NULL) {
        host_error error = {(uint8_t)code, host_text(message)};
        nereid_plugin_serving_method_sender_fail(sending(sender), &error);
    }
    nereid_sender_drop(sender);
}

void nereid_sender_drop(nereid_sender *sender) {
    if (sender != NULL) {
        nereid_plugin_serving_sender_drop_own(sender->handle);
        free(sender);
    }
}
