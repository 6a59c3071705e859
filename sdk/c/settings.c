/* The log, and the plugin's own model as configured. */

#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void nereid_log(nereid_level level, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    size_t size = (size_t)vsnprintf(NULL, 0, format, arguments) + 1;
    char *text = nereid_alloc(size);
    vsnprintf(text, size, format, again);
    va_end(again);
    va_end(arguments);
    host_string line = {(uint8_t *)text, size - 1};
    nereid_plugin_logging_log((uint8_t)level, &line);
    nereid_release(text);
}

bool nereid_log_enabled(nereid_level level) {
    return nereid_plugin_logging_enabled((uint8_t)level);
}

const char *nereid_setting(const char *key, const char *fallback) {
    host_string name = host_text(key), value;
    return nereid_plugin_settings_get(&name, &value) ? own_text(value) : fallback;
}

double nereid_setting_number(const char *key, double fallback) {
    const char *text = nereid_setting(key, NULL);
    if (text == NULL) {
        return fallback;
    }
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != 0) {
        nereid_fail(NEREID_INTERNAL, "parameter '%s' of config.pbtxt is '%s', expected a number: correct it there", key, text);
        return fallback;
    }
    return number;
}

static const nereid_tensor_info *tensors_of(nereid_plugin_settings_list_tensor_info_t list) {
    nereid_tensor_info *own = nereid_alloc(list.len * sizeof *own);
    for (size_t index = 0; index < list.len; index++) {
        const nereid_plugin_settings_tensor_info_t *info = &list.ptr[index];
        own[index] = (nereid_tensor_info){
            own_text(info->name), (nereid_type)info->dtype, info->dims.ptr, info->dims.len, info->optional};
    }
    return own;
}

const nereid_model_info *nereid_model(void) {
    nereid_plugin_settings_model_info_t host;
    nereid_plugin_settings_model(&host);
    nereid_model_info *own = nereid_alloc(sizeof *own);
    *own = (nereid_model_info){
        own_text(host.name),
        host.version,
        host.max_batch_size,
        tensors_of(host.inputs),
        tensors_of(host.outputs),
        host.inputs.len,
        host.outputs.len,
        host.decoupled,
    };
    return own;
}

const char *nereid_instance_name(void) {
    host_string name;
    nereid_plugin_settings_instance_name(&name);
    return own_text(name);
}
