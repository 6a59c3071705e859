/* The contract test's plugin with the whole life of a model in C. `tests/guests/contract_full/README.md` has the list that all languages
 * share. */

#include "nereid.h"

#include <string.h>

#define KEPT_MAX 8

/* Requests that are answered when the instance is drained, with their one number. */
static struct {
    nereid_sender *sender;
    float value;
} kept[KEPT_MAX];
static size_t kept_count;
static volatile enum { WELL, SICK, HANGING } health;

bool nereid_complete(nereid_draft *draft) {
    if (nereid_setting("unknown", NULL) != NULL) {
        return nereid_fail(NEREID_INVALID_ARGUMENT, "nothing is known");
    }
    for (size_t index = 0; index < draft->input_count; index++) {
        if (!draft->inputs[index].has_type) {
            nereid_draft_input(draft, draft->inputs[index].name, NEREID_INT64, NEREID_DIMS(2, 3));
        }
    }
    nereid_draft_input(draft, "X", NEREID_FP32, NEREID_DIMS(-1));
    nereid_draft_input(draft, "W", NEREID_BYTES, NEREID_DIMS(1))->optional = true;
    nereid_draft_output(draft, "X", NEREID_FP32, NEREID_DIMS(-1));
    draft->max_batch_size = 8;
    draft->dynamic_batching = true;
    draft->decoupled = NEREID_NO;
    return true;
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

nereid_outcome nereid_answer(nereid_request *request, nereid_response *response) {
    const char *mode = nereid_text_of(request, "mode", "");
    nereid_tensor *x = nereid_input(request, "X");
    if (strcmp(mode, "keep") == 0) {
        return keep(request, x);
    }
    if (strcmp(mode, "sick") == 0) {
        health = SICK;
    } else if (strcmp(mode, "well") == 0) {
        health = WELL;
    } else if (strcmp(mode, "hang") == 0) {
        health = HANGING;
    }
    return nereid_output(response, "X", x) ? NEREID_ANSWERED : NEREID_FAILED;
}

bool nereid_is_ready(void) {
    while (health == HANGING) {
    }
    return health == WELL || nereid_fail(NEREID_UNAVAILABLE, "out of order");
}

void nereid_drain(void) {
    for (size_t index = 0; index < kept_count; index++) {
        float value = kept[index].value + 100;
        nereid_response *response = nereid_response_new();
        nereid_output(response, "X", nereid_from(NEREID_FP32, NEREID_SHAPE(1, 1), &value));
        nereid_respond(kept[index].sender, response);
    }
    kept_count = 0;
    int64_t sum;
    nereid_state_add("drained", 1, &sum);
}
