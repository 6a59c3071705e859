/* The contract test's plugin of whole batches in C: does what the request's parameter `mode` says.
 * `tests/guests/contract_model/README.md` has the list that all languages share. */

#include "nereid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_MAX 8

/* Requests that are answered when somebody asks to flush, with their one number. */
static struct {
    nereid_sender *sender;
    float value;
} kept[KEPT_MAX];
static size_t kept_count;
static char noticed[64] = "nothing yet";

bool nereid_initialise(void) {
    if (nereid_setting("refuse", NULL) != NULL) {
        return nereid_fail(NEREID_INVALID_ARGUMENT, "the setting 'refuse' is there");
    }
    return true;
}

void nereid_finalise(void) {
    int64_t sum;
    nereid_state_add("finalised", 1, &sum);
}

static nereid_tensor *plus(nereid_tensor *x, double number) {
    return nereid_affine_all(x, 1, (float)number);
}

static nereid_response *of(nereid_tensor *x) {
    nereid_response *response = nereid_response_new();
    nereid_output(response, "X", x);
    return response;
}

static nereid_outcome answered(nereid_response *response, nereid_tensor *x) {
    return nereid_output(response, "X", x) ? NEREID_ANSWERED : NEREID_FAILED;
}

static nereid_outcome said(nereid_response *response, nereid_tensor *x, const char *words) {
    nereid_set(response, "said", nereid_text(words));
    return answered(response, x);
}

static nereid_outcome keep(nereid_request *request, nereid_tensor *x) {
    float *value = nereid_read_f32(x);
    nereid_sender *sender = nereid_sender_of(request);
    if (value == NULL || sender == NULL || kept_count == KEPT_MAX) {
        return NEREID_FAILED;
    }
    kept[kept_count].sender = sender;
    kept[kept_count++].value = *value;
    return NEREID_DEFERRED;
}

static nereid_outcome flush(nereid_response *response, nereid_tensor *x) {
    for (size_t index = 0; index < kept_count; index++) {
        float value = kept[index].value + 100;
        nereid_respond(kept[index].sender, of(nereid_from(NEREID_FP32, NEREID_SHAPE(1, 1), &value)));
    }
    kept_count = 0;
    return answered(response, x);
}

/* Sends until nobody reads. */
static void send_endlessly(nereid_sender *sender, nereid_tensor *x) {
    while (nereid_send(sender, of(x))) {
    }
    nereid_code code;
    nereid_error(&code);
    nereid_clear();
    const char *ended = nereid_sender_cancelled(sender) ? "true" : "false";
    snprintf(noticed, sizeof noticed, "%s %s", code == NEREID_CANCELLED ? "cancelled" : "another", ended);
    nereid_sender_drop(sender);
}

static nereid_outcome through_sender(const char *mode, nereid_request *request, nereid_tensor *x) {
    nereid_sender *sender = nereid_sender_of(request);
    if (sender == NULL) {
        return NEREID_FAILED;
    }
    if (strcmp(mode, "stream") == 0) {
        for (int64_t number = 0; number < nereid_int_of(request, "count", 0); number++) {
            nereid_send(sender, of(plus(x, (double)number)));
        }
        nereid_finish(sender);
    } else if (strcmp(mode, "respond") == 0) {
        nereid_respond(sender, of(plus(x, 7)));
    } else if (strcmp(mode, "fail") == 0) {
        nereid_sender_fail(sender, NEREID_UNAVAILABLE, "not today");
    } else if (strcmp(mode, "endless") == 0) {
        send_endlessly(sender, x);
    } else {
        nereid_fail(NEREID_NOT_FOUND, "there is no such mode");
        nereid_sender_drop(sender);
        return NEREID_FAILED;
    }
    return NEREID_DEFERRED;
}

/* An accident of the language. Where it happens must be read from its name. */
__attribute__((noinline)) static nereid_tensor *fail_on_purpose(nereid_tensor *x) {
    __builtin_trap();
    return x;
}

nereid_outcome nereid_answer(nereid_request *request, nereid_response *response) {
    const char *mode = nereid_text_of(request, "mode", "");
    nereid_tensor *x = nereid_input(request, "X");
    if (strcmp(mode, "pass") == 0) {
        return answered(response, x);
    }
    if (strcmp(mode, "batch") == 0) {
        nereid_set(response, "batch", nereid_integer((int64_t)nereid_batch_size()));
        nereid_set(response, "rows", nereid_integer((int64_t)nereid_rows(request)));
        return answered(response, x);
    }
    if (strcmp(mode, "refuse") == 0) {
        nereid_fail(NEREID_INVALID_ARGUMENT, "this request is refused");
        return NEREID_FAILED;
    }
    if (strcmp(mode, "again") == 0) {
        return answered(response, plus(x, 1)) == NEREID_ANSWERED ? NEREID_RESCHEDULED : NEREID_FAILED;
    }
    if (strcmp(mode, "keep") == 0) {
        return keep(request, x);
    }
    if (strcmp(mode, "flush") == 0) {
        return flush(response, x);
    }
    if (strcmp(mode, "noticed") == 0) {
        return said(response, x, noticed);
    }
    if (strcmp(mode, "finalised") == 0) {
        int64_t sum = 0;
        char text[32];
        nereid_state_add("finalised", 0, &sum);
        snprintf(text, sizeof text, "%lld", sum);
        return said(response, x, text);
    }
    if (strcmp(mode, "trap") == 0) {
        return answered(response, fail_on_purpose(x));
    }
    return through_sender(mode, request, x);
}
