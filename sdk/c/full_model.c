/* The whole life of a model: what the plugin knows of its configuration, whether it can work, and its last word. */

#include "internal.h"

#ifdef NEREID_FULL_MODEL_PLUGIN

typedef exports_nereid_plugin_completion_draft_t host_draft;
typedef exports_nereid_plugin_completion_tensor_draft_t host_tensor_draft;
typedef exports_nereid_plugin_completion_list_tensor_draft_t host_tensor_drafts;

__attribute__((weak)) bool nereid_complete(nereid_draft *draft) {
    (void)draft;
    return true;
}

__attribute__((weak)) bool nereid_is_ready(void) {
    return true;
}

__attribute__((weak)) void nereid_drain(void) {
}

static nereid_tensor_draft *said(
    nereid_tensor_draft **list, size_t *count, const char *name, nereid_type type, nereid_dims dims) {
    size_t index = 0;
    while (index < *count && strcmp((*list)[index].name, name) != 0) {
        index++;
    }
    if (index == *count) {
        nereid_tensor_draft *longer = nereid_alloc((*count + 1) * sizeof **list);
        memcpy(longer, *list, *count * sizeof **list);
        longer[(*count)++] = (nereid_tensor_draft){.name = nereid_string(nereid_bytes_of(name))};
        *list = longer;
    }
    int64_t *extents = nereid_alloc(dims.rank * sizeof *extents);
    memcpy(extents, dims.extents, dims.rank * sizeof *extents);
    (*list)[index].has_type = true;
    (*list)[index].type = type;
    (*list)[index].dims = (nereid_dims){extents, dims.rank};
    return &(*list)[index];
}

nereid_tensor_draft *nereid_draft_input(nereid_draft *draft, const char *name, nereid_type type, nereid_dims dims) {
    return said(&draft->inputs, &draft->input_count, name, type, dims);
}

nereid_tensor_draft *nereid_draft_output(nereid_draft *draft, const char *name, nereid_type type, nereid_dims dims) {
    return said(&draft->outputs, &draft->output_count, name, type, dims);
}

static nereid_tensor_draft *from_host(host_tensor_drafts list) {
    nereid_tensor_draft *own = nereid_alloc(list.len * sizeof *own);
    for (size_t index = 0; index < list.len; index++) {
        const host_tensor_draft *host = &list.ptr[index];
        own[index] = (nereid_tensor_draft){
            .name = own_text(host->name),
            .has_type = host->dtype.is_some,
            .type = (nereid_type)host->dtype.val,
            .dims = host->dims.is_some ? (nereid_dims){host->dims.val.ptr, host->dims.val.len} : (nereid_dims){NULL, 0},
            .optional = host->optional,
        };
    }
    return own;
}

/* As memory that the bindings free. */
static host_tensor_drafts to_host(const nereid_tensor_draft *list, size_t count) {
    host_tensor_draft *hosts = nereid_alloc(count * sizeof *hosts);
    for (size_t index = 0; index < count; index++) {
        const nereid_tensor_draft *own = &list[index];
        size_t length = strlen(own->name), rank = own->dims.rank;
        host_tensor_draft host = {{nereid_returned(own->name, length), length}};
        host.dtype.is_some = own->has_type;
        host.dtype.val = (uint8_t)own->type;
        host.dims.is_some = rank > 0;
        host.dims.val.ptr = (int64_t *)nereid_returned(own->dims.extents, rank * sizeof(int64_t));
        host.dims.val.len = rank;
        host.optional = own->optional;
        hosts[index] = host;
    }
    host_tensor_drafts returned = {(host_tensor_draft *)nereid_returned(hosts, count * sizeof *hosts), count};
    return returned;
}

bool exports_nereid_plugin_completion_complete(host_draft *written, host_draft *completed, host_error *error) {
    nereid_draft draft = {
        .max_batch_size = written->max_batch_size,
        .inputs = from_host(written->inputs),
        .outputs = from_host(written->outputs),
        .input_count = written->inputs.len,
        .output_count = written->outputs.len,
        .dynamic_batching = written->dynamic_batching,
        .decoupled = !written->decoupled.is_some ? NEREID_UNSAID : written->decoupled.val ? NEREID_YES : NEREID_NO,
    };
    bool is_done = nereid_complete(&draft);
    if (is_done) {
        completed->max_batch_size = draft.max_batch_size;
        completed->inputs = to_host(draft.inputs, draft.input_count);
        completed->outputs = to_host(draft.outputs, draft.output_count);
        completed->dynamic_batching = draft.dynamic_batching;
        completed->decoupled.is_some = draft.decoupled != NEREID_UNSAID;
        completed->decoupled.val = draft.decoupled == NEREID_YES;
    } else {
        *error = nereid_error_to_host();
    }
    nereid_end_call();
    return is_done;
}

bool exports_nereid_plugin_readiness_check(host_error *error) {
    bool is_ready = nereid_is_ready();
    if (!is_ready) {
        *error = nereid_error_to_host();
    }
    nereid_end_call();
    return is_ready;
}

void exports_nereid_plugin_draining_drain(void) {
    nereid_drain();
    nereid_end_call();
}

#endif
