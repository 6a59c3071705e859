/* What a plugin reaches beyond its tensors: state, metrics, files, secrets, models. */

#include "internal.h"

static nereid_bindings_list_u8_t host_bytes(nereid_bytes bytes) {
    return (nereid_bindings_list_u8_t){(uint8_t *)bytes.data, bytes.size};
}

static nereid_bytes own_bytes(nereid_bindings_list_u8_t bytes) {
    return (nereid_bytes){bytes.ptr, bytes.len};
}

/* === State === */

bool nereid_state_get(const char *key, nereid_entry *entry) {
    host_string name = host_text(key);
    nereid_plugin_state_option_entry_t found;
    host_error error;
    bool is_known = nereid_plugin_state_get(&name, &found, &error);
    if (!nereid_checked(is_known, &error) || !found.is_some) {
        return false;
    }
    *entry = (nereid_entry){own_bytes(found.val.value), found.val.version};
    return true;
}

uint64_t nereid_state_set(const char *key, nereid_bytes value, uint64_t lifetime_ms) {
    host_string name = host_text(key);
    nereid_bindings_list_u8_t bytes = host_bytes(value);
    uint64_t version;
    host_error error;
    bool is_set = nereid_plugin_state_set(&name, &bytes, lifetime_ms == 0 ? NULL : &lifetime_ms, &version, &error);
    return nereid_checked(is_set, &error) ? version : 0;
}

uint64_t nereid_state_swap(const char *key, nereid_bytes value, uint64_t expected, uint64_t lifetime_ms) {
    host_string name = host_text(key);
    nereid_bindings_list_u8_t bytes = host_bytes(value);
    nereid_bindings_option_u64_t version;
    host_error error;
    bool is_done = nereid_plugin_state_swap(&name, &bytes, expected == 0 ? NULL : &expected,
        lifetime_ms == 0 ? NULL : &lifetime_ms, &version, &error);
    return nereid_checked(is_done, &error) && version.is_some ? version.val : 0;
}

bool nereid_state_add(const char *key, int64_t amount, int64_t *sum) {
    host_string name = host_text(key);
    host_error error;
    return nereid_checked(nereid_plugin_state_add(&name, amount, sum, &error), &error);
}

bool nereid_state_delete(const char *key) {
    host_string name = host_text(key);
    bool was_there;
    host_error error;
    bool is_done = nereid_plugin_state_delete(&name, &was_there, &error);
    return nereid_checked(is_done, &error) && was_there;
}

const char **nereid_state_keys(const char *prefix, uint32_t limit, size_t *count) {
    host_string text = host_text(prefix);
    nereid_bindings_list_string_t keys;
    host_error error;
    *count = 0;
    bool is_done = nereid_plugin_state_keys(&text, limit, &keys, &error);
    if (!nereid_checked(is_done, &error)) {
        return NULL;
    }
    const char **own = nereid_alloc(keys.len * sizeof *own);
    for (; *count < keys.len; ++*count) {
        own[*count] = own_text(keys.ptr[*count]);
    }
    return own;
}

/* === Metrics === */

struct nereid_counter {
    nereid_plugin_metrics_own_counter_t handle;
};

struct nereid_gauge {
    nereid_plugin_metrics_own_gauge_t handle;
};

struct nereid_histogram {
    nereid_plugin_metrics_own_histogram_t handle;
};

static nereid_plugin_metrics_list_label_t host_labels(const nereid_label *labels, size_t count) {
    nereid_plugin_metrics_list_label_t list = {nereid_alloc(count * sizeof *list.ptr), count};
    for (size_t index = 0; index < count; index++) {
        list.ptr[index] = (nereid_plugin_metrics_label_t){host_text(labels[index].name), host_text(labels[index].value)};
    }
    return list;
}

nereid_counter *nereid_counter_open(const char *name, const char *description, const nereid_label *labels, size_t count) {
    host_string names[] = {host_text(name), host_text(description)};
    nereid_plugin_metrics_list_label_t list = host_labels(labels, count);
    nereid_counter made;
    host_error error;
    bool is_open = nereid_plugin_metrics_static_counter_open(&names[0], &names[1], &list, &made.handle, &error);
    return nereid_checked(is_open, &error) ? memcpy(nereid_lasting(sizeof made), &made, sizeof made) : NULL;
}

bool nereid_counter_add(nereid_counter *counter, double amount) {
    if (nereid_missing(counter)) {
        return false;
    }
    host_error error;
    nereid_plugin_metrics_borrow_counter_t handle = nereid_plugin_metrics_borrow_counter(counter->handle);
    return nereid_checked(nereid_plugin_metrics_method_counter_add(handle, amount, &error), &error);
}

double nereid_counter_value(const nereid_counter *counter) {
    return nereid_plugin_metrics_method_counter_value(nereid_plugin_metrics_borrow_counter(counter->handle));
}

nereid_gauge *nereid_gauge_open(const char *name, const char *description, const nereid_label *labels, size_t count) {
    host_string names[] = {host_text(name), host_text(description)};
    nereid_plugin_metrics_list_label_t list = host_labels(labels, count);
    nereid_gauge made;
    host_error error;
    bool is_open = nereid_plugin_metrics_static_gauge_open(&names[0], &names[1], &list, &made.handle, &error);
    return nereid_checked(is_open, &error) ? memcpy(nereid_lasting(sizeof made), &made, sizeof made) : NULL;
}

void nereid_gauge_set(nereid_gauge *gauge, double value) {
    nereid_plugin_metrics_method_gauge_set(nereid_plugin_metrics_borrow_gauge(gauge->handle), value);
}

void nereid_gauge_add(nereid_gauge *gauge, double amount) {
    nereid_plugin_metrics_method_gauge_add(nereid_plugin_metrics_borrow_gauge(gauge->handle), amount);
}

double nereid_gauge_value(const nereid_gauge *gauge) {
    return nereid_plugin_metrics_method_gauge_value(nereid_plugin_metrics_borrow_gauge(gauge->handle));
}

nereid_histogram *nereid_histogram_open(
    const char *name, const char *description, const nereid_label *labels, size_t count, const double *bounds, size_t bound_count) {
    host_string names[] = {host_text(name), host_text(description)};
    nereid_plugin_metrics_list_label_t list = host_labels(labels, count);
    nereid_bindings_list_f64_t limits = {(double *)bounds, bound_count};
    nereid_histogram made;
    host_error error;
    bool is_open =
        nereid_plugin_metrics_static_histogram_open(&names[0], &names[1], &list, &limits, &made.handle, &error);
    return nereid_checked(is_open, &error) ? memcpy(nereid_lasting(sizeof made), &made, sizeof made) : NULL;
}

void nereid_histogram_observe(nereid_histogram *histogram, double value) {
    nereid_plugin_metrics_method_histogram_observe(nereid_plugin_metrics_borrow_histogram(histogram->handle), value);
}

/* === Files === */

/* The bytes, if they were read. */
static bool got(bool succeeded, nereid_bindings_list_u8_t bytes, const host_error *error, nereid_bytes *data) {
    *data = succeeded ? own_bytes(bytes) : (nereid_bytes){NULL, 0};
    return nereid_checked(succeeded, error);
}

bool nereid_file_read(const char *path, nereid_bytes *data) {
    host_string name = host_text(path);
    nereid_bindings_list_u8_t bytes = {NULL, 0};
    host_error error;
    bool is_read = nereid_plugin_files_read(&name, &bytes, &error);
    return got(is_read, bytes, &error, data);
}

bool nereid_file_read_range(const char *path, uint32_t offset, uint32_t length, nereid_bytes *data) {
    host_string name = host_text(path);
    nereid_bindings_list_u8_t bytes = {NULL, 0};
    host_error error;
    bool is_read = nereid_plugin_files_read_range(&name, offset, length, &bytes, &error);
    return got(is_read, bytes, &error, data);
}

bool nereid_file_write(const char *path, nereid_bytes data) {
    host_string name = host_text(path);
    nereid_bindings_list_u8_t bytes = host_bytes(data);
    host_error error;
    return nereid_checked(nereid_plugin_files_write(&name, &bytes, &error), &error);
}

bool nereid_file_remove(const char *path) {
    host_string name = host_text(path);
    host_error error;
    return nereid_checked(nereid_plugin_files_remove(&name, &error), &error);
}

const nereid_file *nereid_folder(const char *path, size_t *count) {
    host_string name = host_text(path);
    nereid_plugin_files_list_entry_t entries;
    host_error error;
    *count = 0;
    bool is_listed = nereid_plugin_files_list_folder(&name, &entries, &error);
    if (!nereid_checked(is_listed, &error)) {
        return NULL;
    }
    nereid_file *own = nereid_alloc(entries.len * sizeof *own);
    for (; *count < entries.len; ++*count) {
        const nereid_plugin_files_entry_t *entry = &entries.ptr[*count];
        own[*count] = (nereid_file){own_text(entry->name), entry->size, entry->is_folder};
    }
    return own;
}

/* === Secrets, models === */

bool nereid_secret(const char *name, nereid_bytes *secret) {
    host_string text = host_text(name);
    nereid_bindings_list_u8_t bytes = {NULL, 0};
    host_error error;
    bool is_told = nereid_plugin_secrets_get(&text, &bytes, &error);
    return got(is_told, bytes, &error, secret);
}

const nereid_model_entry *nereid_index(size_t *count) {
    static const char *const states[] = {"ready", "unavailable", "loading", "unloading"};
    nereid_plugin_control_list_model_entry_t entries;
    host_error error;
    *count = 0;
    bool is_listed = nereid_plugin_control_index(&entries, &error);
    if (!nereid_checked(is_listed, &error)) {
        return NULL;
    }
    nereid_model_entry *own = nereid_alloc(entries.len * sizeof *own);
    for (; *count < entries.len; ++*count) {
        const nereid_plugin_control_model_entry_t *entry = &entries.ptr[*count];
        own[*count] = (nereid_model_entry){
            own_text(entry->name),
            entry->version.is_some ? entry->version.val : 0,
            entry->state.is_some ? states[entry->state.val] : NULL,
            own_text(entry->reason),
        };
    }
    return own;
}

bool nereid_load(const char *model, const char *config) {
    host_string name = host_text(model), text = host_text(config == NULL ? "" : config);
    host_error error;
    return nereid_checked(nereid_plugin_control_load(&name, config == NULL ? NULL : &text, &error), &error);
}

bool nereid_unload(const char *model, bool dependents) {
    host_string name = host_text(model);
    host_error error;
    return nereid_checked(nereid_plugin_control_unload(&name, dependents, &error), &error);
}
