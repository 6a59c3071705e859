/* Operations: done by the host, so that a plugin's own loops are for what only it does. */

#include "internal.h"

typedef nereid_plugin_operations_list_parameter_t host_options;

/* Room for the options of any operation. */
#define OPTIONS_MAX 4

typedef struct {
    nereid_plugin_types_parameter_t list[OPTIONS_MAX];
    size_t count;
} options;

static void option(options *options, const char *name, nereid_value value) {
    options->list[options->count++] = (nereid_plugin_types_parameter_t){host_text(name), nereid_value_to_host(value)};
}

/* Flags that are not set are left out, so that hosts that do not know them are not asked. */
static void flag(options *options, const char *name, bool is_set) {
    if (is_set) {
        option(options, name, nereid_boolean(true));
    }
}

static host_options listed(options *options) {
    return (host_options){options->list, options->count};
}

static nereid_bindings_list_f32_t floats(nereid_floats floats) {
    return (nereid_bindings_list_f32_t){(float *)floats.values, floats.count};
}

static nereid_bindings_list_u32_t numbers(const uint32_t *values, size_t count) {
    return (nereid_bindings_list_u32_t){(uint32_t *)values, count};
}

/* NULL goes through every operation. */
#define NEEDS(tensor)             \
    if (nereid_missing(tensor)) { \
        return NULL;              \
    }

nereid_tensor *nereid_decode_image(const nereid_tensor *files, uint32_t index, uint32_t channels) {
    return nereid_decode_image_with(files, index, channels, false, 0);
}

nereid_tensor *nereid_decode_image_with(
    const nereid_tensor *files, uint32_t index, uint32_t channels, bool keep_orientation, int64_t pixels_max) {
    NEEDS(files)
    options options = {.count = 0};
    flag(&options, "keep-orientation", keep_orientation);
    if (pixels_max != 0) {
        option(&options, "pixels-max", nereid_integer(pixels_max));
    }
    host_options list = listed(&options);
    MAKE(nereid_plugin_operations_decode_image, borrowed(files), index, channels, &list);
}

nereid_tensor *nereid_resize(const nereid_tensor *image, uint32_t height, uint32_t width, nereid_resampling resampling) {
    NEEDS(image)
    MAKE(nereid_plugin_operations_resize, borrowed(image), height, width, (uint8_t)resampling);
}

nereid_tensor *nereid_crop(const nereid_tensor *image, uint32_t top, uint32_t left, uint32_t height, uint32_t width) {
    NEEDS(image)
    nereid_plugin_operations_window_t part = {top, left, height, width};
    MAKE(nereid_plugin_operations_crop, borrowed(image), &part);
}

nereid_tensor *nereid_normalise(
    const nereid_tensor *tensor, float scale, nereid_floats mean, nereid_floats deviation, int32_t axis) {
    NEEDS(tensor)
    nereid_bindings_list_f32_t means = floats(mean), deviations = floats(deviation);
    MAKE(nereid_plugin_operations_normalise, borrowed(tensor), scale, &means, &deviations, axis);
}

nereid_tensor *nereid_affine(const nereid_tensor *tensor, nereid_floats scale, nereid_floats bias, int32_t axis) {
    NEEDS(tensor)
    nereid_bindings_list_f32_t scales = floats(scale), biases = floats(bias);
    MAKE(nereid_plugin_operations_affine, borrowed(tensor), &scales, &biases, axis);
}

nereid_tensor *nereid_affine_all(const nereid_tensor *tensor, float scale, float bias) {
    return nereid_affine(tensor, NEREID_FLOATS(scale), NEREID_FLOATS(bias), -1);
}

nereid_tensor *nereid_to_channels_first(const nereid_tensor *tensor) {
    NEEDS(tensor)
    MAKE(nereid_plugin_operations_to_channels_first, borrowed(tensor));
}

nereid_tensor *nereid_to_channels_last(const nereid_tensor *tensor) {
    NEEDS(tensor)
    MAKE(nereid_plugin_operations_to_channels_last, borrowed(tensor));
}

nereid_tensor *nereid_transpose(const nereid_tensor *tensor, const uint32_t *axes, size_t count) {
    NEEDS(tensor)
    nereid_bindings_list_u32_t list = numbers(axes, count);
    MAKE(nereid_plugin_operations_transpose, borrowed(tensor), &list);
}

nereid_tensor *nereid_cast(const nereid_tensor *tensor, nereid_type type, bool refuse_overflow, bool round) {
    NEEDS(tensor)
    options options = {.count = 0};
    flag(&options, "refuse-overflow", refuse_overflow);
    flag(&options, "round", round);
    host_options list = listed(&options);
    MAKE(nereid_plugin_operations_cast, borrowed(tensor), (uint8_t)type, &list);
}

/* False when one is missing. */
static bool all_borrowed(nereid_tensor *const *tensors, size_t count, nereid_plugin_operations_list_borrow_tensor_t *list) {
    list->ptr = nereid_alloc(count * sizeof *list->ptr);
    list->len = count;
    for (size_t index = 0; index < count; index++) {
        if (nereid_missing(tensors[index])) {
            return false;
        }
        list->ptr[index] = borrowed(tensors[index]);
    }
    return true;
}

nereid_tensor *nereid_concat(nereid_tensor *const *tensors, size_t count, int32_t axis) {
    nereid_plugin_operations_list_borrow_tensor_t list;
    if (!all_borrowed(tensors, count, &list)) {
        return NULL;
    }
    MAKE(nereid_plugin_operations_concat, &list, axis);
}

nereid_tensor *nereid_stack(nereid_tensor *const *tensors, size_t count, int32_t axis) {
    nereid_plugin_operations_list_borrow_tensor_t list;
    if (!all_borrowed(tensors, count, &list)) {
        return NULL;
    }
    MAKE(nereid_plugin_operations_stack, &list, axis);
}

nereid_tensor **nereid_split(const nereid_tensor *tensor, const uint32_t *extents, size_t count, int32_t axis) {
    NEEDS(tensor)
    nereid_bindings_list_u32_t list = numbers(extents, count);
    nereid_plugin_operations_list_own_tensor_t parts;
    host_error error;
    bool is_split = nereid_plugin_operations_split(borrowed(tensor), &list, axis, &parts, &error);
    if (!nereid_checked(is_split, &error)) {
        return NULL;
    }
    nereid_tensor **own = nereid_alloc(parts.len * sizeof *own);
    for (size_t index = 0; index < parts.len; index++) {
        own[index] = nereid_own_tensor(parts.ptr[index]);
    }
    return own;
}

nereid_tensor *nereid_pad(const nereid_tensor *tensor, const uint32_t *before, const uint32_t *after, double value) {
    NEEDS(tensor)
    size_t rank = nereid_shape_of(tensor).rank;
    nereid_bindings_list_u32_t front = numbers(before, rank), back = numbers(after, rank);
    MAKE(nereid_plugin_operations_pad, borrowed(tensor), &front, &back, value);
}

nereid_tensor *nereid_softmax(const nereid_tensor *tensor, int32_t axis) {
    NEEDS(tensor)
    MAKE(nereid_plugin_operations_softmax, borrowed(tensor), axis);
}

nereid_tensor *nereid_argmax(const nereid_tensor *tensor, int32_t axis) {
    NEEDS(tensor)
    MAKE(nereid_plugin_operations_argmax, borrowed(tensor), axis);
}

nereid_tensor *nereid_top_k(const nereid_tensor *tensor, uint32_t k, int32_t axis, nereid_tensor **indices) {
    *indices = NULL;
    NEEDS(tensor)
    nereid_plugin_operations_ranked_t ranked;
    host_error error;
    bool is_ranked = nereid_plugin_operations_top_k(borrowed(tensor), k, axis, &ranked, &error);
    if (!nereid_checked(is_ranked, &error)) {
        return NULL;
    }
    *indices = nereid_own_tensor(ranked.indices);
    return nereid_own_tensor(ranked.values);
}

nereid_tensor *nereid_suppress(const nereid_tensor *boxes, const nereid_tensor *scores, nereid_suppression rules) {
    NEEDS(boxes)
    NEEDS(scores)
    options options = {.count = 0};
    if (rules.form != NULL) {
        option(&options, "form", nereid_text(rules.form));
    }
    if (rules.score_min != NULL) {
        option(&options, "score-min", nereid_number(*rules.score_min));
    }
    if (rules.kept_max != 0) {
        option(&options, "kept-max", nereid_integer(rules.kept_max));
    }
    host_options list = listed(&options);
    nereid_plugin_tensors_borrow_tensor_t classes;
    if (rules.classes != NULL) {
        classes = borrowed(rules.classes);
    }
    MAKE(nereid_plugin_operations_non_maximum_suppression, borrowed(boxes), borrowed(scores),
        rules.classes == NULL ? NULL : &classes, rules.overlap, &list);
}

nereid_tensor *nereid_encode_base64(const nereid_tensor *tensor, bool url_safe, bool unpadded) {
    NEEDS(tensor)
    options options = {.count = 0};
    flag(&options, "url-safe", url_safe);
    flag(&options, "unpadded", unpadded);
    host_options list = listed(&options);
    MAKE(nereid_plugin_operations_encode_base64, borrowed(tensor), &list);
}

nereid_tensor *nereid_decode_base64(const nereid_tensor *tensor, bool url_safe) {
    NEEDS(tensor)
    options options = {.count = 0};
    flag(&options, "url-safe", url_safe);
    host_options list = listed(&options);
    MAKE(nereid_plugin_operations_decode_base64, borrowed(tensor), &list);
}

const char **nereid_texts(const nereid_tensor *tensor, uint32_t first, uint32_t count) {
    NEEDS(tensor)
    nereid_bindings_list_string_t texts;
    host_error error;
    bool is_read = nereid_plugin_operations_texts(borrowed(tensor), first, count, &texts, &error);
    if (!nereid_checked(is_read, &error)) {
        return NULL;
    }
    const char **own = nereid_alloc(texts.len * sizeof *own);
    for (size_t index = 0; index < texts.len; index++) {
        own[index] = own_text(texts.ptr[index]);
    }
    return own;
}

nereid_tensor *nereid_from_texts(nereid_shape shape, const char *const *texts) {
    uint64_t count = 1;
    for (size_t index = 0; index < shape.rank; index++) {
        count *= shape.extents[index];
    }
    nereid_bindings_list_string_t list = {nereid_alloc((size_t)count * sizeof *list.ptr), (size_t)count};
    for (size_t index = 0; index < list.len; index++) {
        list.ptr[index] = host_text(texts[index]);
    }
    nereid_bindings_list_u64_t extents = {(uint64_t *)shape.extents, shape.rank};
    MAKE(nereid_plugin_operations_from_texts, &extents, &list);
}

nereid_tensor *nereid_blob_bytes(const nereid_tensor *tensor, uint32_t index) {
    NEEDS(tensor)
    MAKE(nereid_plugin_operations_blob_bytes, borrowed(tensor), index);
}
