/* Steps of the plugin's own in the trace of a request. */

#include "internal.h"

struct nereid_span {
    nereid_plugin_tracing_own_span_t handle;
};

static nereid_span *recorded(bool is_recorded, nereid_plugin_tracing_own_span_t handle) {
    if (!is_recorded) {
        return NULL;
    }
    nereid_span *span = nereid_alloc(sizeof *span);
    span->handle = handle;
    return span;
}

static nereid_plugin_tracing_borrow_span_t borrowed_span(const nereid_span *span) {
    return nereid_plugin_tracing_borrow_span(span->handle);
}

nereid_span *nereid_span_begin(const char *name) {
    host_string text = host_text(name);
    nereid_plugin_tracing_own_span_t handle;
    bool is_recorded = nereid_plugin_tracing_static_span_begin(&text, &handle);
    return recorded(is_recorded, handle);
}

nereid_span *nereid_span_begin_for(const nereid_request *request, const char *name) {
    host_string text = host_text(name);
    nereid_plugin_tracing_own_span_t handle;
    nereid_plugin_serving_borrow_request_t borrowed_request = nereid_plugin_serving_borrow_request(request->handle);
    bool is_recorded = nereid_plugin_tracing_static_span_begin_for(borrowed_request, &text, &handle);
    return recorded(is_recorded, handle);
}

nereid_span *nereid_span_child(const nereid_span *span, const char *name) {
    if (span == NULL) {
        return NULL;
    }
    host_string text = host_text(name);
    nereid_plugin_tracing_own_span_t handle;
    bool is_recorded = nereid_plugin_tracing_method_span_child(borrowed_span(span), &text, &handle);
    return recorded(is_recorded, handle);
}

void nereid_span_set(const nereid_span *span, const char *name, nereid_value value) {
    if (span != NULL) {
        host_string text = host_text(name);
        nereid_plugin_types_value_t host = nereid_value_to_host(value);
        nereid_plugin_tracing_method_span_set(borrowed_span(span), &text, &host);
    }
}

void nereid_span_event(const nereid_span *span, const char *name, const nereid_parameter *attributes, size_t count) {
    if (span == NULL) {
        return;
    }
    host_string text = host_text(name);
    nereid_plugin_tracing_list_parameter_t list = {nereid_alloc(count * sizeof *list.ptr), count};
    for (size_t index = 0; index < count; index++) {
        nereid_plugin_types_value_t value = nereid_value_to_host(attributes[index].value);
        list.ptr[index] = (nereid_plugin_types_parameter_t){host_text(attributes[index].name), value};
    }
    nereid_plugin_tracing_method_span_event(borrowed_span(span), &text, &list);
}

void nereid_span_end(nereid_span *span) {
    if (span != NULL) {
        nereid_plugin_tracing_span_drop_own(span->handle);
        nereid_release(span);
    }
}
