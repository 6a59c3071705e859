/* Tokenizers: the host reads tokenizer.json files, and no text comes into the plugin's memory. */

#include "internal.h"

#include <stdlib.h>

struct nereid_tokenizer {
    nereid_plugin_tokenizers_own_tokenizer_t handle;
};

/* Room for the options of any function here. */
#define OPTIONS_MAX 2

typedef struct {
    nereid_plugin_types_parameter_t list[OPTIONS_MAX];
    size_t count;
} options;

/* Those that are not wanted are left out: the host's own value counts. */
static void option(options *options, bool is_wanted, const char *name, nereid_value value) {
    if (is_wanted) {
        options->list[options->count++] = (nereid_plugin_types_parameter_t){host_text(name), nereid_value_to_host(value)};
    }
}

static nereid_plugin_tokenizers_list_parameter_t listed(options *options) {
    return (nereid_plugin_tokenizers_list_parameter_t){options->list, options->count};
}

static options opening(uint32_t max_length, bool cut_beginning) {
    options options = {.count = 0};
    option(&options, max_length != 0, "max-length", nereid_integer(max_length));
    option(&options, cut_beginning, "cut-beginning", nereid_boolean(true));
    return options;
}

static nereid_plugin_tokenizers_borrow_tokenizer_t lent(const nereid_tokenizer *tokenizer) {
    return nereid_plugin_tokenizers_borrow_tokenizer(tokenizer->handle);
}

static nereid_tokenizer *opened(bool is_open, nereid_tokenizer made, const host_error *error) {
    return nereid_checked(is_open, error) ? memcpy(nereid_lasting(sizeof made), &made, sizeof made) : NULL;
}

nereid_tokenizer *nereid_tokenizer_open(const char *path, uint32_t max_length, bool cut_beginning) {
    host_string name = host_text(path);
    options options = opening(max_length, cut_beginning);
    nereid_plugin_tokenizers_list_parameter_t list = listed(&options);
    nereid_tokenizer made;
    host_error error;
    bool is_open = nereid_plugin_tokenizers_static_tokenizer_open(&name, &list, &made.handle, &error);
    return opened(is_open, made, &error);
}

nereid_tokenizer *nereid_tokenizer_from_bytes(nereid_bytes definition, uint32_t max_length, bool cut_beginning) {
    nereid_bindings_list_u8_t bytes = {(uint8_t *)definition.data, definition.size};
    options options = opening(max_length, cut_beginning);
    nereid_plugin_tokenizers_list_parameter_t list = listed(&options);
    nereid_tokenizer made;
    host_error error;
    bool is_open = nereid_plugin_tokenizers_static_tokenizer_from_bytes(&bytes, &list, &made.handle, &error);
    return opened(is_open, made, &error);
}

void nereid_tokenizer_close(nereid_tokenizer *tokenizer) {
    if (tokenizer != NULL) {
        nereid_plugin_tokenizers_tokenizer_drop_own(tokenizer->handle);
        free(tokenizer);
    }
}

uint32_t nereid_vocabulary_size(const nereid_tokenizer *tokenizer) {
    return nereid_missing(tokenizer) ? 0 : nereid_plugin_tokenizers_method_tokenizer_vocabulary_size(lent(tokenizer));
}

bool nereid_token_id(const nereid_tokenizer *tokenizer, const char *token, uint32_t *id) {
    host_string text = host_text(token);
    return !nereid_missing(tokenizer) && nereid_plugin_tokenizers_method_tokenizer_token_id(lent(tokenizer), &text, id);
}

const char *nereid_token(const nereid_tokenizer *tokenizer, uint32_t id) {
    host_string token;
    if (nereid_missing(tokenizer) || !nereid_plugin_tokenizers_method_tokenizer_token(lent(tokenizer), id, &token)) {
        return NULL;
    }
    return own_text(token);
}

bool nereid_encode(
    const nereid_tokenizer *tokenizer, const nereid_tensor *texts, nereid_encoding_rules rules, nereid_encoding *encoding) {
    *encoding = (nereid_encoding){NULL, NULL, NULL};
    if (nereid_missing(tokenizer) || nereid_missing(texts)) {
        return false;
    }
    options options = {.count = 0};
    option(&options, rules.without_special, "special-tokens", nereid_boolean(false));
    option(&options, rules.length != 0, "length", nereid_integer(rules.length));
    nereid_plugin_tokenizers_list_parameter_t list = listed(&options);
    nereid_plugin_tensors_borrow_tensor_t pairs = rules.pairs == NULL ? borrowed(texts) : borrowed(rules.pairs);
    nereid_plugin_tokenizers_encoding_t made;
    host_error error;
    bool is_done = nereid_plugin_tokenizers_method_tokenizer_encode(
        lent(tokenizer), borrowed(texts), rules.pairs == NULL ? NULL : &pairs, &list, &made, &error);
    if (!nereid_checked(is_done, &error)) {
        return false;
    }
    *encoding = (nereid_encoding){
        nereid_own_tensor(made.ids), nereid_own_tensor(made.mask), nereid_own_tensor(made.type_ids)};
    return true;
}

nereid_tensor *nereid_decode(const nereid_tokenizer *tokenizer, const nereid_tensor *ids, bool keep_special) {
    if (nereid_missing(tokenizer) || nereid_missing(ids)) {
        return NULL;
    }
    options options = {.count = 0};
    option(&options, keep_special, "skip-special", nereid_boolean(false));
    nereid_plugin_tokenizers_list_parameter_t list = listed(&options);
    MAKE(nereid_plugin_tokenizers_method_tokenizer_decode, lent(tokenizer), borrowed(ids), &list);
}
