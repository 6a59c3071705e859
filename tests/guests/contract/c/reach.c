/* What the plugin reaches beyond its tensors, each in words that every language says alike. */

#include "contract.h"

#include <stdio.h>
#include <string.h>

const char *all_of_state(void) {
    uint64_t first = nereid_state_set("a", nereid_bytes_of("one"), 0);
    nereid_entry entry, now, gone;
    if (!nereid_state_get("a", &entry)) {
        return NULL;
    }
    bool swapped = nereid_state_swap("a", nereid_bytes_of("two"), first, 0) != 0;
    bool late = nereid_state_swap("a", nereid_bytes_of("three"), first, 0) != 0;
    int64_t two, less;
    size_t count;
    nereid_state_add("n", 2, &two);
    nereid_state_add("n", -5, &less);
    const char **keys = nereid_state_keys("", 10, &count);
    if (!nereid_state_get("a", &now) || count != 2) {
        return NULL;
    }
    const char *said = say("", "%s %s %s", nereid_string(entry.value), yes(entry.version == first), yes(swapped));
    said = say(said, " %s %s %lld %lld %s,%s", yes(late), nereid_string(now.value), two, less, keys[0], keys[1]);
    bool deleted = nereid_state_delete("a"), again = nereid_state_delete("a");
    bool fresh = nereid_state_swap("b", nereid_bytes_of("x"), 0, 60000) != 0;
    return say(said, " %s %s %s %s", yes(deleted), yes(again), yes(!nereid_state_get("a", &gone)), yes(fresh));
}

const char *all_of_metrics(void) {
    nereid_counter *counter = nereid_counter_open("contract_things_total", "Things", &(nereid_label){"kind", "x"}, 1);
    nereid_gauge *gauge = nereid_gauge_open("contract_level", "Level", NULL, 0);
    nereid_histogram *sizes = nereid_histogram_open("contract_sizes", "Sizes", NULL, 0, (const double[]){1, 2}, 2);
    if (counter == NULL || gauge == NULL || sizes == NULL || !nereid_counter_add(counter, 2)) {
        return NULL;
    }
    nereid_gauge_set(gauge, 3);
    nereid_gauge_add(gauge, -1);
    nereid_histogram_observe(sizes, 1.5);
    nereid_counter_add(counter, -1);
    return say("", "%g %g %s", nereid_counter_value(counter), nereid_gauge_value(gauge), refused());
}

/* Whether C's own way to the file finds in it what was written. */
static bool opens(const char *path, const char *text) {
    char found[16] = "";
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return false;
    }
    fread(found, 1, sizeof found - 1, file);
    fclose(file);
    return strcmp(found, text) == 0;
}

const char *all_of_files(void) {
    nereid_bytes whole, part, gone;
    size_t count;
    if (!nereid_file_write("/scratch/a.txt", nereid_bytes_of("hello")) || !nereid_file_read("/scratch/a.txt", &whole) ||
        !nereid_file_read_range("/scratch/a.txt", 1, 3, &part) || !opens("/scratch/a.txt", "hello")) {
        return NULL;
    }
    const char *said = say("", "%s %s", nereid_string(whole), nereid_string(part));
    const nereid_file *files = nereid_folder("/scratch", &count);
    for (size_t index = 0; index < count; index++) {
        said = say(said, " %s:%llu:%s", files[index].name, files[index].size, yes(files[index].is_folder));
    }
    nereid_file_remove("/scratch/a.txt");
    nereid_file_read("/scratch/a.txt", &gone);
    said = say(said, " %s", refused());
    nereid_file_read("/elsewhere/a.txt", &gone);
    return say(said, " %s", refused());
}

const char *all_of_secrets(void) {
    nereid_bytes token, other;
    if (!nereid_secret("token", &token)) {
        return NULL;
    }
    nereid_secret("other", &other);
    return say(nereid_string(token), " %s", refused());
}

static const char *header_of(const nereid_http_response *response, const char *name) {
    for (size_t index = 0; index < response->header_count; index++) {
        if (strcmp(response->headers[index].name, name) == 0) {
            return nereid_string(response->headers[index].value);
        }
    }
    return "none";
}

const char *all_of_http(void) {
    const char *server = nereid_setting("server", "");
    nereid_header word = {"x-word", nereid_bytes_of("hi")};
    nereid_http_request echo = {
        .method = "POST", .url = say("", "%s/echo", server), .headers = &word, .header_count = 1, .body = nereid_bytes_of("ping"),
    };
    nereid_http_response echoed, missing, denied;
    if (!nereid_http(&echo, &echoed) ||
        !nereid_http(&(nereid_http_request){.method = "GET", .url = say("", "%s/missing", server)}, &missing)) {
        return NULL;
    }
    const char *said = say("", "%d %s", echoed.status, header_of(&echoed, "x-method"));
    said = say(said, " %s %s %d", header_of(&echoed, "x-word"), nereid_string(echoed.body), missing.status);
    nereid_http(&(nereid_http_request){.method = "GET", .url = "http://127.0.0.1:1/"}, &denied);
    return say(said, " %s", refused());
}

const char *all_of_control(void) {
    size_t count;
    const char *said = "";
    const nereid_model_entry *entries = nereid_index(&count);
    for (size_t index = 0; index < count; index++) {
        said = say(said, "%s:%llu:%s ", entries[index].name, entries[index].version, entries[index].state);
    }
    if (!nereid_load("other", NULL) || !nereid_unload("other", false)) {
        return NULL;
    }
    nereid_load("denied", NULL);
    return say(said, "%s", refused());
}

const char *all_of_spans(const nereid_request *request) {
    nereid_span *outer = nereid_span_begin("outer");
    nereid_span_set(outer, "number", nereid_integer(3));
    nereid_span_set(outer, "word", nereid_text("x"));
    nereid_span_set(outer, "sure", nereid_boolean(true));
    nereid_span_event(outer, "half", &(nereid_parameter){"rows", nereid_integer(2)}, 1);
    nereid_span *inner = nereid_span_child(outer, "inner");
    nereid_span_set(inner, "share", nereid_number(0.5));
    nereid_span_end(inner);
    const char *said = yes(outer != NULL);
    nereid_span_end(outer);
    nereid_span_end(nereid_span_begin_for(request, "of-request"));
    nereid_span_begin("open");
    return said;
}
