/* The contract test's plugin in C: does what the request's parameter `mode` says. `tests/guests/contract/README.md` has the list
 * that all languages share. */

#include "contract.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static float scale, bias;

bool nereid_initialise(void) {
    scale = (float)nereid_setting_number("scale", 1);
    bias = (float)nereid_setting_number("bias", 0);
    return nereid_error(NULL) == NULL;
}

const char *say(const char *before, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    char *all = nereid_alloc(strlen(before) + strlen(text) + 1);
    return strcat(strcpy(all, before), text);
}

const char *refused(void) {
    static const char *const kinds[] = {"invalid-argument", "not-found", "unavailable", "unsupported", "already-exists",
        "cancelled", "deadline-exceeded", "resource-exhausted", "permission", "internal"};
    nereid_code code;
    if (nereid_error(&code) == NULL) {
        return "allowed";
    }
    nereid_clear();
    return kinds[code];
}

const char *yes(bool answer) {
    return answer ? "true" : "false";
}

static nereid_tensor *identity(nereid_tensor *x) {
    if (nereid_type_of(x) == NEREID_BYTES) {
        return nereid_from_blobs(nereid_shape_of(x), nereid_blobs(x));
    }
    return nereid_from(nereid_type_of(x), nereid_shape_of(x), nereid_read(x));
}

/* The bytes in two pieces. */
static nereid_tensor *bytes(nereid_tensor *x) {
    size_t size = nereid_byte_size(x), half = size / 2;
    char *all = nereid_alloc(size);
    if (!nereid_read_into(x, 0, all, half) || !nereid_read_into(x, half, all + half, size - half)) {
        return NULL;
    }
    return nereid_from_bytes(nereid_type_of(x), nereid_shape_of(x), (nereid_bytes){(uint8_t *)all, size});
}

static nereid_tensor *transform(nereid_tensor *x) {
    float *values = nereid_read_f32(x);
    for (size_t index = 0; values != NULL && index < nereid_count(x); index++) {
        values[index] = values[index] * scale + bias;
    }
    return nereid_from(NEREID_FP32, nereid_shape_of(x), values);
}

static nereid_tensor *written(void) {
    nereid_tensor *y = nereid_zeros(NEREID_FP32, NEREID_SHAPE(4));
    const float values[] = {1.5f, 2.5f};
    nereid_write(y, sizeof(float), values, sizeof values);
    nereid_tensor *part = nereid_slice(y, 1, NEREID_SHAPE(2));
    return nereid_reshape(nereid_reshape(part, NEREID_SHAPE(2, 1)), NEREID_SHAPE(2));
}

static bool both(nereid_tensor *x, nereid_response *response) {
    nereid_pending *calls[] = {
        nereid_submit(nereid_call_input(nereid_call_of("left"), "X", x)),
        nereid_submit(nereid_call_input(nereid_call_of("right"), "X", x)),
    };
    size_t first = nereid_wait_any(calls, 2, 0);
    float *left = nereid_read_f32(nereid_reply_output(nereid_receive(calls[0]), "X"));
    float *right = nereid_read_f32(nereid_reply_output(nereid_receive(calls[1]), "X"));
    for (size_t index = 0; left != NULL && right != NULL && index < nereid_count(x); index++) {
        left[index] += right[index];
    }
    nereid_set(response, "first", nereid_integer((int64_t)first));
    return right != NULL && nereid_output(response, "X", nereid_from(NEREID_FP32, nereid_shape_of(x), left));
}

static bool call(nereid_tensor *x, nereid_response *response) {
    nereid_call *call = nereid_call_output(nereid_call_input(nereid_call_of("left"), "X", x), "X");
    nereid_call_parameter(call, "depth", nereid_integer(1));
    nereid_reply *reply = nereid_infer(nereid_call_timeout_ms(call, 5000));
    return nereid_output(response, "X", nereid_reply_output(reply, "X"));
}

static bool responses(nereid_tensor *x, nereid_response *response) {
    float totals[16];
    size_t count = 0;
    nereid_pending *pending = nereid_submit(nereid_call_input(nereid_call_of("many"), "X", x));
    for (nereid_reply *reply; count < 16 && (reply = nereid_receive(pending)) != NULL; count++) {
        nereid_tensor *answer = nereid_reply_output(reply, "X");
        float *values = nereid_read_f32(answer);
        totals[count] = 0;
        for (size_t index = 0; values != NULL && index < nereid_count(answer); index++) {
            totals[count] += values[index];
        }
    }
    return nereid_output(response, "X", nereid_from(NEREID_FP32, NEREID_SHAPE(count), totals));
}

static bool parameters(const nereid_request *request, nereid_response *response) {
    size_t count;
    const nereid_parameter *parameters = nereid_parameters(request, &count);
    for (size_t index = 0; index < count; index++) {
        nereid_set(response, parameters[index].name, parameters[index].value);
    }
    return true;
}

static bool about_model(nereid_response *response) {
    const nereid_model_info *model = nereid_model();
    nereid_set(response, "name", nereid_text(model->name));
    nereid_set(response, "version", nereid_integer((int64_t)model->version));
    return nereid_set(response, "input", nereid_text(model->inputs[0].name));
}

static const char *facts(const nereid_request *request) {
    nereid_sequence at;
    if (!nereid_sequence_of(request, &at)) {
        return NULL;
    }
    size_t wanted;
    nereid_wanted_outputs(request, &wanted);
    const char *said = say("", "%s %llu %llu", nereid_id(request), nereid_rows(request), nereid_priority(request));
    said = say(said, " %s %s %s %s", nereid_tenant(request), at.text, yes(at.start), yes(at.end));
    return say(said, " %s %zu %s", yes(nereid_wants(request, "X")), wanted, yes(nereid_remaining_ms(request) > 1000));
}

/* An accident of the language. Where it happens must be read from its name. */
__attribute__((noinline)) static nereid_tensor *fail_on_purpose(nereid_tensor *x) {
    __builtin_trap();
    return x;
}

static bool said(nereid_response *response, nereid_tensor *x, const char *words) {
    return words != NULL && nereid_set(response, "said", nereid_text(words)) && nereid_output(response, "X", x);
}

static bool with_the_input(const char *mode, nereid_request *request, nereid_tensor *x, nereid_response *response) {
    if (strcmp(mode, "parameters") == 0) {
        parameters(request, response);
    } else if (strcmp(mode, "model") == 0) {
        about_model(response);
    } else if (strcmp(mode, "log") == 0) {
        nereid_log(NEREID_INFO, "the contract says %s", "hello");
        puts("the contract prints in c");
        fflush(stdout);
    } else if (strcmp(mode, "trap") == 0) {
        x = fail_on_purpose(x);
    } else if (strcmp(mode, "cancelled") == 0) {
        while (!nereid_cancelled(request)) {
        }
        return nereid_fail(NEREID_CANCELLED, "noticed that the client left");
    } else if (strcmp(mode, "pass") != 0) {
        return nereid_fail(NEREID_NOT_FOUND, "there is no mode '%s'", mode);
    }
    return nereid_output(response, "X", x);
}

bool nereid_run(nereid_request *request, nereid_response *response) {
    const char *mode = nereid_text_of(request, "mode", "");
    nereid_tensor *x = nereid_input(request, "X");
    if (strcmp(mode, "identity") == 0) return nereid_output(response, "X", identity(x));
    if (strcmp(mode, "bytes") == 0) return nereid_output(response, "X", bytes(x));
    if (strcmp(mode, "transform") == 0) return nereid_output(response, "X", transform(x));
    if (strcmp(mode, "write") == 0) return nereid_output(response, "X", written());
    if (strcmp(mode, "bls") == 0) return both(x, response);
    if (strcmp(mode, "call") == 0) return call(x, response);
    if (strcmp(mode, "responses") == 0) return responses(x, response);
    if (strcmp(mode, "refuse") == 0) return nereid_fail(NEREID_INVALID_ARGUMENT, "this request is refused");
    if (strcmp(mode, "request") == 0) return said(response, x, facts(request));
    if (strcmp(mode, "operations") == 0) return said(response, x, all_operations(x));
    if (strcmp(mode, "tokenizers") == 0) return said(response, x, all_of_tokenizers());
    if (strcmp(mode, "state") == 0) return said(response, x, all_of_state());
    if (strcmp(mode, "metrics") == 0) return said(response, x, all_of_metrics());
    if (strcmp(mode, "files") == 0) return said(response, x, all_of_files());
    if (strcmp(mode, "secrets") == 0) return said(response, x, all_of_secrets());
    if (strcmp(mode, "http") == 0) return said(response, x, all_of_http());
    if (strcmp(mode, "spans") == 0) return said(response, x, all_of_spans(request));
    if (strcmp(mode, "control") == 0) return said(response, x, all_of_control());
    return with_the_input(mode, request, x, response);
}
