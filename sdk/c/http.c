/* Requests to other servers. */

#include "internal.h"

static nereid_plugin_http_list_header_t host_headers(const nereid_header *headers, size_t count) {
    nereid_plugin_http_list_header_t list = {nereid_alloc(count * sizeof *list.ptr), count};
    for (size_t index = 0; index < count; index++) {
        nereid_bytes value = headers[index].value;
        list.ptr[index] = (nereid_plugin_http_header_t){
            host_text(headers[index].name),
            {(uint8_t *)value.data, value.size},
        };
    }
    return list;
}

static const nereid_header *own_headers(nereid_plugin_http_list_header_t headers) {
    nereid_header *own = nereid_alloc(headers.len * sizeof *own);
    for (size_t index = 0; index < headers.len; index++) {
        const nereid_plugin_http_header_t *header = &headers.ptr[index];
        own[index] = (nereid_header){own_text(header->name), {header->value.ptr, header->value.len}};
    }
    return own;
}

bool nereid_http(const nereid_http_request *request, nereid_http_response *response) {
    nereid_plugin_http_request_t asked = {
        .method = host_text(request->method),
        .url = host_text(request->url),
        .headers = host_headers(request->headers, request->header_count),
        .body = {(uint8_t *)request->body.data, request->body.size},
        .timeout_ms = {request->timeout_ms != 0, request->timeout_ms},
    };
    nereid_plugin_http_response_t answer;
    host_error error;
    *response = (nereid_http_response){0};
    if (!nereid_checked(nereid_plugin_http_send(&asked, &answer, &error), &error)) {
        return false;
    }
    *response = (nereid_http_response){
        answer.status, own_headers(answer.headers), answer.headers.len, {answer.body.ptr, answer.body.len},
    };
    return true;
}
