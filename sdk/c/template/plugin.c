/* Its input, times a factor. README.md has the commands that build, test and serve it. */

#include "nereid.h"

/* The `parameters` of config.pbtxt, read once per instance. */
static float factor;

bool nereid_initialise(void) {
    factor = (float)nereid_setting_number("factor", 2);
    return nereid_error(NULL) == NULL;
}

bool nereid_run(nereid_request *request, nereid_response *response) {
    nereid_tensor *x = nereid_input(request, "X");
    float *values = nereid_read_f32(x);
    for (uint64_t index = 0; values != NULL && index < nereid_count(x); index++) {
        values[index] *= factor;
    }
    return nereid_output(response, "Y", nereid_from(NEREID_FP32, nereid_shape_of(x), values));
}
