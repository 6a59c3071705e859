/* Its input, times a factor: a batch at a time. README.md has the commands that build, test and serve it. With nereid_complete and
 * nereid_is_ready it could complete config.pbtxt, and say when it is not ready. */

#include "nereid.h"

static float factor;

/* The `parameters` of config.pbtxt, read once per instance; false fails the load. */
bool nereid_initialise(void) {
    factor = (float)nereid_setting_number("factor", 2);
    return nereid_error(NULL) == NULL;
}

/* One request of the batch; its error does not touch the others. */
nereid_outcome nereid_answer(nereid_request *request, nereid_response *response) {
    nereid_tensor *y = nereid_affine_all(nereid_input(request, "X"), factor, 0);
    return nereid_output(response, "Y", y) ? NEREID_ANSWERED : NEREID_FAILED;
}
