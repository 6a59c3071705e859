/* Write a Nereid plugin in C: one function, tensors, calls to other models.
 *
 *     #include "nereid.h"
 *
 *     bool nereid_run(nereid_request *request, nereid_response *response) {
 *         nereid_tensor *x = nereid_input(request, "X");
 *         return nereid_output(response, "Y", nereid_affine_all(x, 2, 0));
 *     }
 *
 * Whose memory. Everything that a function of this header gives (tensors, texts, bytes, calls, answers) is the SDK's and lasts
 * until the host's call ends: nothing is to be freed, nothing can be kept for the next call. What is kept is copied, with malloc.
 * Four things outlive the call and say so: metrics, tokenizers, senders, and what nereid_initialise made of them. What is given to
 * a function is read before it returns; it may lie on the stack.
 *
 * Errors. A function that can fail gives NULL or false, and the SDK remembers why. NULL may be handed on: a function that gets it
 * fails too and leaves the first reason in place, so that a chain of calls needs one test at its end. nereid_run gives false, and
 * the reason is the answer to its request. nereid_error reads it, nereid_clear forgets it.
 *
 * Cost: handing a tensor on is free whatever its size; reading or writing one copies it once. Refused: threads, and longjmp over
 * this header's functions.
 */
#ifndef NEREID_H
#define NEREID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct nereid_request nereid_request;
typedef struct nereid_response nereid_response;
typedef struct nereid_tensor nereid_tensor;

/* === What the plugin defines ===
 *
 * Either nereid_run makes the component a plugin of one function, or nereid_answer one that sees whole batches. Beside the latter,
 * nereid_complete, nereid_is_ready or nereid_drain, below, make it one with the whole life of a model. */

/* Answers one request through `response`, or fails. */
bool nereid_run(nereid_request *request, nereid_response *response);

typedef enum {
    NEREID_FAILED,     /* the reason is the answer to this request alone */
    NEREID_ANSWERED,   /* with what is in `response` */
    NEREID_DEFERRED,   /* the answer goes through the request's sender, now or in a later batch */
    NEREID_RESCHEDULED /* executed again, with the outputs of `response` as state: iterative sequences */
} nereid_outcome;

/* Answers one request of a batch. Called for each in turn; nereid_batch_size says how many there are. */
nereid_outcome nereid_answer(nereid_request *request, nereid_response *response);

/* Both may be left out. The first is called once per instance, before everything else: settings are read and tables built there,
 * and in a plugin of whole batches false fails the load. The second is called before an instance of such a plugin is given up. */
bool nereid_initialise(void);
void nereid_finalise(void);

/* === Errors === */

typedef enum {
    NEREID_INVALID_ARGUMENT,
    NEREID_NOT_FOUND,
    NEREID_UNAVAILABLE,
    NEREID_UNSUPPORTED,
    NEREID_ALREADY_EXISTS,
    NEREID_CANCELLED,
    NEREID_DEADLINE_EXCEEDED,
    NEREID_RESOURCE_EXHAUSTED,
    NEREID_PERMISSION,
    NEREID_INTERNAL
} nereid_code;

/* Remembers a reason, as printf writes it, unless there is one. Always gives false: `return nereid_fail(…);`. */
bool nereid_fail(nereid_code code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The text of the reason, or NULL; its kind goes to `code` unless that is NULL. */
const char *nereid_error(nereid_code *code);
void nereid_clear(void);

/* Memory of the call's. */
void *nereid_alloc(size_t size);

/* === Values === */

typedef struct {
    const uint8_t *data;
    size_t size;
} nereid_bytes;

typedef struct {
    enum { NEREID_BOOLEAN, NEREID_INT, NEREID_UINT, NEREID_DOUBLE, NEREID_TEXT } kind;
    union {
        bool boolean;
        int64_t integer;
        uint64_t unsigned_integer;
        double number;
        const char *text;
    };
} nereid_value;

typedef struct {
    const char *name;
    nereid_value value;
} nereid_parameter;

nereid_value nereid_boolean(bool value);
nereid_value nereid_integer(int64_t value);
nereid_value nereid_number(double value);
nereid_value nereid_text(const char *value);

/* The bytes of a text. */
nereid_bytes nereid_bytes_of(const char *text);
/* The same with a zero behind them. */
const char *nereid_string(nereid_bytes bytes);

/* === Requests and responses === */

typedef struct {
    const char *text; /* the id where it is a text, otherwise NULL */
    uint64_t number;
    bool start, end;
} nereid_sequence;

const char *nereid_id(const nereid_request *request);
uint64_t nereid_rows(const nereid_request *request);
uint64_t nereid_priority(const nereid_request *request);
/* NULL when the request goes on nobody's account. */
const char *nereid_tenant(const nereid_request *request);
/* False when the request belongs to none. */
bool nereid_sequence_of(const nereid_request *request, nereid_sequence *sequence);
bool nereid_wants(const nereid_request *request, const char *output);
/* The outputs wanted; none for all. */
const char **nereid_wanted_outputs(const nereid_request *request, size_t *count);
/* Milliseconds until the host ends the call. Ask in long loops. */
uint32_t nereid_remaining_ms(const nereid_request *request);
/* Whether the client is gone. */
bool nereid_cancelled(const nereid_request *request);
/* Requests in the batch that this one is of. */
size_t nereid_batch_size(void);

/* The input of that name; one that is missing is an error. */
nereid_tensor *nereid_input(nereid_request *request, const char *name);
/* NULL without an error when it was left out. */
nereid_tensor *nereid_optional_input(nereid_request *request, const char *name);

const nereid_parameter *nereid_parameters(const nereid_request *request, size_t *count);
/* NULL when there is none of that name. */
const nereid_value *nereid_parameter_of(const nereid_request *request, const char *name);
/* The parameter where it is a text, or a whole number; otherwise `fallback`. */
const char *nereid_text_of(const nereid_request *request, const char *name, const char *fallback);
int64_t nereid_int_of(const nereid_request *request, const char *name, int64_t fallback);

/* Adds an output, or a parameter that the client sees. The tensor stays usable. */
bool nereid_output(nereid_response *response, const char *name, nereid_tensor *tensor);
bool nereid_set(nereid_response *response, const char *name, nereid_value value);
/* One that is answered through a sender. */
nereid_response *nereid_response_new(void);

/* === Senders: plugins of whole batches === */

typedef struct nereid_sender nereid_sender;

/* Takes the request's sender, once: whoever holds it owes the client its end. Outlives the call, until one of the last four. */
nereid_sender *nereid_sender_of(nereid_request *request);
/* Sends a response that others follow. Waits while the client has not read the earlier ones; fails with NEREID_CANCELLED when it
 * is gone. */
bool nereid_send(nereid_sender *sender, nereid_response *response);
/* Whether the client is gone, or the request has ended in another way. */
bool nereid_sender_cancelled(const nereid_sender *sender);
/* Sends the last response; ends without one; ends with an error; gives up. Each frees the sender. */
bool nereid_respond(nereid_sender *sender, nereid_response *response);
void nereid_finish(nereid_sender *sender);
void nereid_sender_fail(nereid_sender *sender, nereid_code code, const char *message);
void nereid_sender_drop(nereid_sender *sender);

/* === Tensors === */

typedef enum {
    NEREID_BOOL,
    NEREID_UINT8,
    NEREID_UINT16,
    NEREID_UINT32,
    NEREID_UINT64,
    NEREID_INT8,
    NEREID_INT16,
    NEREID_INT32,
    NEREID_INT64,
    NEREID_FP16,
    NEREID_BF16,
    NEREID_FP32,
    NEREID_FP64,
    NEREID_BYTES /* texts, encoded images, …: elements of any length */
} nereid_type;

/* A shape where one is asked for: nereid_zeros(NEREID_FP32, NEREID_SHAPE(2, 3)). */
typedef struct {
    const uint64_t *extents;
    size_t rank;
} nereid_shape;
#define NEREID_SHAPE(...) \
    ((nereid_shape){(const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)})

nereid_type nereid_type_of(const nereid_tensor *tensor);
nereid_shape nereid_shape_of(const nereid_tensor *tensor);
uint64_t nereid_count(const nereid_tensor *tensor);
/* For NEREID_BYTES that of the wire encoding. */
uint64_t nereid_byte_size(const nereid_tensor *tensor);

/* A copy of all bytes, aligned for every type: float *x = nereid_read(tensor). */
void *nereid_read(const nereid_tensor *tensor);
/* The same where the type must be NEREID_FP32. */
float *nereid_read_f32(const nereid_tensor *tensor);
/* All elements of a NEREID_BYTES tensor, as many as nereid_count says. */
nereid_bytes *nereid_blobs(const nereid_tensor *tensor);
/* Some bytes into memory of the plugin's. */
bool nereid_read_into(const nereid_tensor *tensor, uint64_t offset, void *data, size_t size);

/* Over a copy of data: dense, row-major, exactly what the type and the shape call for. */
nereid_tensor *nereid_from(nereid_type type, nereid_shape shape, const void *data);
/* The same of so many bytes, which the host checks; for NEREID_BYTES the wire encoding, as nereid_read gives it. */
nereid_tensor *nereid_from_bytes(nereid_type type, nereid_shape shape, nereid_bytes bytes);
nereid_tensor *nereid_from_blobs(nereid_shape shape, const nereid_bytes *items);
nereid_tensor *nereid_zeros(nereid_type type, nereid_shape shape);
/* Overwrites from byte `offset` on. Only this tensor sees it. */
bool nereid_write(nereid_tensor *tensor, uint64_t offset, const void *data, size_t size);

/* Free of copies. */
nereid_tensor *nereid_share(const nereid_tensor *tensor);
nereid_tensor *nereid_reshape(const nereid_tensor *tensor, nereid_shape shape);
nereid_tensor *nereid_slice(const nereid_tensor *tensor, uint64_t first, nereid_shape shape);
/* Gives the handle back before the call ends: for loops that make thousands. */
void nereid_drop(nereid_tensor *tensor);

/* === Calls of other models: those of `models` in [grants] of plugin.toml === */

typedef struct nereid_call nereid_call;
typedef struct nereid_pending nereid_pending;
typedef struct nereid_reply nereid_reply;

nereid_call *nereid_call_of(const char *model);
nereid_call *nereid_call_input(nereid_call *call, const char *name, nereid_tensor *tensor);
nereid_call *nereid_call_output(nereid_call *call, const char *name);
nereid_call *nereid_call_parameter(nereid_call *call, const char *name, nereid_value value);
nereid_call *nereid_call_version(nereid_call *call, uint64_t version);
nereid_call *nereid_call_timeout_ms(nereid_call *call, uint32_t milliseconds);
nereid_call *nereid_call_id(nereid_call *call, const char *id);
nereid_call *nereid_call_priority(nereid_call *call, uint64_t priority);
nereid_call *nereid_call_sequence(nereid_call *call, nereid_sequence sequence);

/* Calls a model that gives exactly one response, and waits for it. */
nereid_reply *nereid_infer(nereid_call *call);
/* Starts the call without waiting, so that several can work at the same time. */
nereid_pending *nereid_submit(nereid_call *call);
/* The next response; NULL without an error after the last one. */
nereid_reply *nereid_receive(nereid_pending *pending);
bool nereid_ready(const nereid_pending *pending);
void nereid_cancel(nereid_pending *pending);
/* The index of one that has something to receive; `count` when the time ran out first, or on an error. 0: as long as the call may. */
size_t nereid_wait_any(nereid_pending **calls, size_t count, uint32_t timeout_ms);

/* The output of that name; one that is missing is an error. */
nereid_tensor *nereid_reply_output(const nereid_reply *reply, const char *name);
const nereid_parameter *nereid_reply_parameters(const nereid_reply *reply, size_t *count);

/* Version 0 asks for any. */
bool nereid_model_ready(const char *model, uint64_t version);

/* === Log, settings === */

typedef enum { NEREID_TRACE, NEREID_DEBUG, NEREID_INFO, NEREID_WARN, NEREID_ERROR } nereid_level;

void nereid_log(nereid_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool nereid_log_enabled(nereid_level level);

typedef struct {
    const char *name;
    nereid_type type;
    const int64_t *dims; /* -1 for any; without the batch dimension */
    size_t rank;
    bool optional;
} nereid_tensor_info;

typedef struct {
    const char *name;
    uint64_t version;
    uint32_t max_batch_size; /* 0 when tensors have no batch dimension */
    const nereid_tensor_info *inputs, *outputs;
    size_t input_count, output_count;
    bool decoupled;
} nereid_model_info;

/* A value of `parameters` in config.pbtxt; `fallback` where there is none. */
const char *nereid_setting(const char *key, const char *fallback);
/* One that is no number is an error, and gives the fallback. */
double nereid_setting_number(const char *key, double fallback);
const nereid_model_info *nereid_model(void);
const char *nereid_instance_name(void);

/* === The whole life of a model: beside nereid_answer, each of the three may be left out === */

typedef struct {
    const int64_t *extents; /* -1 for any; without the batch dimension */
    size_t rank;            /* 0 where nothing is said */
} nereid_dims;
#define NEREID_DIMS(...) ((nereid_dims){(const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)})

/* An input or an output, as far as it is known. */
typedef struct {
    const char *name;
    bool has_type;
    nereid_type type;
    nereid_dims dims;
    bool optional;
} nereid_tensor_draft;

/* A configuration, as far as it is known. */
typedef struct {
    uint32_t max_batch_size; /* 0 where nothing is said of it, or where tensors have no batch dimension */
    nereid_tensor_draft *inputs, *outputs;
    size_t input_count, output_count;
    bool dynamic_batching; /* whether the server puts requests together to batches; false says nothing */
    enum { NEREID_UNSAID, NEREID_NO, NEREID_YES } decoupled;
} nereid_draft;

/* Says what the plugin knows of its configuration, so that config.pbtxt need not say it. The draft has what is written, which counts: a
 * contradiction fails the load, and so does false. Asked before nereid_initialise; no other model and no server can be asked. */
bool nereid_complete(nereid_draft *draft);
/* False says that the model is not ready. Asked between two batches, when somebody wants to know; must be quick (readiness_ms). */
bool nereid_is_ready(void);
/* No further request is routed here: answers now what is kept back (drain_ms). nereid_finalise follows when all requests have ended. */
void nereid_drain(void);

/* Says of an input, or an output, what it is. */
nereid_tensor_draft *nereid_draft_input(nereid_draft *draft, const char *name, nereid_type type, nereid_dims dims);
nereid_tensor_draft *nereid_draft_output(nereid_draft *draft, const char *name, nereid_type type, nereid_dims dims);

/* === State: outlives instances and swaps === */

typedef struct {
    nereid_bytes value;
    uint64_t version;
} nereid_entry;

/* Lifetimes are milliseconds; 0 for ever. Versions are never 0. */
/* False without an error when there is no value. */
bool nereid_state_get(const char *key, nereid_entry *entry);
/* The version, 0 on an error. */
uint64_t nereid_state_set(const char *key, nereid_bytes value, uint64_t lifetime_ms);
/* Writes if the version is still `expected` (0: if there is no value). 0 without an error when somebody else was quicker. */
uint64_t nereid_state_swap(const char *key, nereid_bytes value, uint64_t expected, uint64_t lifetime_ms);
bool nereid_state_add(const char *key, int64_t amount, int64_t *sum);
/* Whether there was a value. */
bool nereid_state_delete(const char *key);
const char **nereid_state_keys(const char *prefix, uint32_t limit, size_t *count);

/* === Metrics: opened once, in nereid_initialise; they outlive the call === */

typedef struct {
    const char *name, *value;
} nereid_label;

typedef struct nereid_counter nereid_counter;
typedef struct nereid_gauge nereid_gauge;
typedef struct nereid_histogram nereid_histogram;

nereid_counter *nereid_counter_open(const char *name, const char *description, const nereid_label *labels, size_t count);
/* The amount must not be negative. */
bool nereid_counter_add(nereid_counter *counter, double amount);
double nereid_counter_value(const nereid_counter *counter);
nereid_gauge *nereid_gauge_open(const char *name, const char *description, const nereid_label *labels, size_t count);
void nereid_gauge_set(nereid_gauge *gauge, double value);
void nereid_gauge_add(nereid_gauge *gauge, double amount);
double nereid_gauge_value(const nereid_gauge *gauge);
nereid_histogram *nereid_histogram_open(
    const char *name, const char *description, const nereid_label *labels, size_t count, const double *bounds, size_t bound_count);
void nereid_histogram_observe(nereid_histogram *histogram, double value);

/* === Spans: steps of the plugin's own in the trace of a request, in the collector's spans and in trace files ===
 *
 * A request that is not traced has no spans: beginning one costs one call of the host and gives NULL, with which all of these do
 * nothing. A span ends with nereid_span_end, which frees it, or with the call. */

typedef struct nereid_span nereid_span;

/* Of the request under way; of a batch, of the first request that is traced. */
nereid_span *nereid_span_begin(const char *name);
nereid_span *nereid_span_begin_for(const nereid_request *request, const char *name);
/* Within another one. */
nereid_span *nereid_span_child(const nereid_span *span, const char *name);
/* An attribute. Of two of one name the later counts. */
void nereid_span_set(const nereid_span *span, const char *name, nereid_value value);
/* Notes that something happened now. */
void nereid_span_event(const nereid_span *span, const char *name, const nereid_parameter *attributes, size_t count);
void nereid_span_end(nereid_span *span);

/* === Files, secrets, models: those that plugin.toml was granted === */

typedef struct {
    const char *name;
    uint64_t size;
    bool is_folder;
} nereid_file;

bool nereid_file_read(const char *path, nereid_bytes *data);
bool nereid_file_read_range(const char *path, uint32_t offset, uint32_t length, nereid_bytes *data);
bool nereid_file_write(const char *path, nereid_bytes data);
bool nereid_file_remove(const char *path);
const nereid_file *nereid_folder(const char *path, size_t *count);

bool nereid_secret(const char *name, nereid_bytes *secret);

/* === Servers: those that plugin.toml lists under [grants] http === */

typedef struct {
    const char *name;
    nereid_bytes value;
} nereid_header;

typedef struct {
    const char *method, *url;
    const nereid_header *headers;
    size_t header_count;
    nereid_bytes body;
    uint32_t timeout_ms; /* for the whole answer; 0 for the plugin's limit */
} nereid_http_request;

typedef struct {
    uint16_t status;
    const nereid_header *headers; /* names in small letters */
    size_t header_count;
    nereid_bytes body;
} nereid_http_response;

/* Sends a request and waits for the answer, whatever its status. Redirects are answers like any other. */
bool nereid_http(const nereid_http_request *request, nereid_http_response *response);

typedef struct {
    const char *name;
    uint64_t version;  /* 0 for a model that was never loaded */
    const char *state; /* ready, unavailable, loading, unloading; NULL for one that was never loaded */
    const char *reason;
} nereid_model_entry;

const nereid_model_entry *nereid_index(size_t *count);
/* `config` is a whole configuration as JSON instead of that of the repository, or NULL. */
bool nereid_load(const char *model, const char *config);
bool nereid_unload(const char *model, bool dependents);

/* === Operations: done by the host at the machine's own speed. Axes from the outside; negative ones from the inside. === */

typedef enum {
    NEREID_NEAREST,
    NEREID_BILINEAR,
    NEREID_ANTIALIASED_BOX,
    NEREID_ANTIALIASED_BILINEAR,
    NEREID_ANTIALIASED_BICUBIC,
    NEREID_ANTIALIASED_LANCZOS
} nereid_resampling;

/* A JPEG, PNG or WebP file as [height, width, channels]; 0 channels for the file's own. */
nereid_tensor *nereid_decode_image(const nereid_tensor *files, uint32_t index, uint32_t channels);
/* The same: `keep_orientation` leaves pixels as they lie, images beyond `pixels_max` (unless 0) are refused. */
nereid_tensor *nereid_decode_image_with(
    const nereid_tensor *files, uint32_t index, uint32_t channels, bool keep_orientation, int64_t pixels_max);
nereid_tensor *nereid_resize(const nereid_tensor *image, uint32_t height, uint32_t width, nereid_resampling resampling);
nereid_tensor *nereid_crop(const nereid_tensor *image, uint32_t top, uint32_t left, uint32_t height, uint32_t width);

typedef struct {
    const float *values;
    size_t count;
} nereid_floats;
#define NEREID_FLOATS(...) \
    ((nereid_floats){(const float[]){__VA_ARGS__}, sizeof((const float[]){__VA_ARGS__}) / sizeof(float)})

/* (x * scale - mean) / deviation; one mean and deviation for all, or one for each place along the axis. */
nereid_tensor *nereid_normalise(const nereid_tensor *tensor, float scale, nereid_floats mean, nereid_floats deviation, int32_t axis);
/* x * scale + bias; no bias is zero. */
nereid_tensor *nereid_affine(const nereid_tensor *tensor, nereid_floats scale, nereid_floats bias, int32_t axis);
nereid_tensor *nereid_affine_all(const nereid_tensor *tensor, float scale, float bias);
nereid_tensor *nereid_to_channels_first(const nereid_tensor *tensor);
nereid_tensor *nereid_to_channels_last(const nereid_tensor *tensor);
nereid_tensor *nereid_transpose(const nereid_tensor *tensor, const uint32_t *axes, size_t count);
/* What does not fit becomes the nearest that does, or with `refuse_overflow` an error; `round` instead of cutting fractions off. */
nereid_tensor *nereid_cast(const nereid_tensor *tensor, nereid_type type, bool refuse_overflow, bool round);
nereid_tensor *nereid_concat(nereid_tensor *const *tensors, size_t count, int32_t axis);
nereid_tensor *nereid_stack(nereid_tensor *const *tensors, size_t count, int32_t axis);
/* As many as there are extents. */
nereid_tensor **nereid_split(const nereid_tensor *tensor, const uint32_t *extents, size_t count, int32_t axis);
/* One number before and one behind for each dimension. */
nereid_tensor *nereid_pad(const nereid_tensor *tensor, const uint32_t *before, const uint32_t *after, double value);
nereid_tensor *nereid_softmax(const nereid_tensor *tensor, int32_t axis);
nereid_tensor *nereid_argmax(const nereid_tensor *tensor, int32_t axis);
/* The values, and their places in `indices`. */
nereid_tensor *nereid_top_k(const nereid_tensor *tensor, uint32_t k, int32_t axis, nereid_tensor **indices);

typedef struct {
    const nereid_tensor *classes; /* boxes of different ones leave each other alone; NULL for one class */
    float overlap;                /* intersection over union above which the lower score goes */
    const float *score_min;       /* NULL for none */
    uint32_t kept_max;            /* 0 for all */
    const char *form;             /* "corners" (also NULL), "centre", "top-left" */
} nereid_suppression;

nereid_tensor *nereid_suppress(const nereid_tensor *boxes, const nereid_tensor *scores, nereid_suppression rules);
nereid_tensor *nereid_encode_base64(const nereid_tensor *tensor, bool url_safe, bool unpadded);
nereid_tensor *nereid_decode_base64(const nereid_tensor *tensor, bool url_safe);
/* Checked to be UTF-8. */
const char **nereid_texts(const nereid_tensor *tensor, uint32_t first, uint32_t count);
nereid_tensor *nereid_from_texts(nereid_shape shape, const char *const *texts);
nereid_tensor *nereid_blob_bytes(const nereid_tensor *tensor, uint32_t index);

/* === Tokenizers: texts to the numbers that language models read, and back, by tokenizer.json files. Opened once, in
 * nereid_initialise; they outlive the call === */

typedef struct nereid_tokenizer nereid_tokenizer;

/* A file in a folder that was granted. A text is cut to `max_length` tokens, special ones included (0: as the file says); with
 * `cut_beginning` it keeps its end. */
nereid_tokenizer *nereid_tokenizer_open(const char *path, uint32_t max_length, bool cut_beginning);
nereid_tokenizer *nereid_tokenizer_from_bytes(nereid_bytes definition, uint32_t max_length, bool cut_beginning);
/* An instance may keep a few at a time. */
void nereid_tokenizer_close(nereid_tokenizer *tokenizer);
/* With added ones. */
uint32_t nereid_vocabulary_size(const nereid_tokenizer *tokenizer);
/* False when there is no such token. */
bool nereid_token_id(const nereid_tokenizer *tokenizer, const char *token, uint32_t *id);
/* NULL when there is no such number. */
const char *nereid_token(const nereid_tokenizer *tokenizer, uint32_t id);

typedef struct {
    const nereid_tensor *pairs; /* an element of each together; NULL for none */
    uint32_t length;            /* tokens of every row; 0 for as many as the longest, or as the file says */
    bool without_special;       /* without the tokens that mark beginning, end and parts */
} nereid_encoding_rules;

/* A row for each text, NEREID_INT64 [texts, length]: numbers, 1 for a token and 0 for padding, 1 for the second of a pair. */
typedef struct {
    nereid_tensor *ids, *mask, *type_ids;
} nereid_encoding;

bool nereid_encode(
    const nereid_tokenizer *tokenizer, const nereid_tensor *texts, nereid_encoding_rules rules, nereid_encoding *encoding);
/* The texts of rows of whole numbers along the innermost axis. */
nereid_tensor *nereid_decode(const nereid_tokenizer *tokenizer, const nereid_tensor *ids, bool keep_special);

#endif
