/* Every operation of the host once, on small numbers. */

#include "contract.h"

/* One grey pixel of 200. */
static const char *const PNG =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGM4AQAAygDJmcpdfgAAAABJRU5ErkJggg==";

const char *shown(const char *said, const char *name, nereid_tensor *tensor) {
    if (tensor == NULL) {
        return said;
    }
    nereid_shape shape = nereid_shape_of(tensor);
    said = say(said, "%s%s [", said[0] == 0 ? "" : "\n", name);
    for (size_t index = 0; index < shape.rank; index++) {
        said = say(said, "%s%llu", index == 0 ? "" : ",", shape.extents[index]);
    }
    said = say(said, "]");
    int64_t *whole = nereid_read(nereid_cast(tensor, NEREID_INT64, false, false));
    for (size_t index = 0; whole != NULL && index < nereid_count(tensor); index++) {
        said = say(said, " %lld", whole[index]);
    }
    return said;
}

static const char *numbers(const char *said, nereid_tensor *a) {
    said = shown(said, "normalise", nereid_normalise(a, 1, NEREID_FLOATS(1), NEREID_FLOATS(0.5f), -1));
    said = shown(said, "affine", nereid_affine(a, NEREID_FLOATS(10, 20, 30), NEREID_FLOATS(1), -1));
    said = shown(said, "round", nereid_cast(nereid_affine_all(a, 0.5f, 0), NEREID_INT32, false, true));
    said = shown(said, "transpose", nereid_transpose(a, (const uint32_t[]){1, 0}, 2));
    nereid_tensor *twice[] = {a, a};
    said = shown(said, "concat", nereid_concat(twice, 2, 0));
    said = shown(said, "stack", nereid_stack(twice, 2, 0));
    nereid_tensor **parts = nereid_split(a, (const uint32_t[]){1, 2}, 2, 1);
    said = shown(said, "split", parts == NULL ? NULL : parts[1]);
    said = shown(said, "pad", nereid_pad(a, (const uint32_t[]){1, 0}, (const uint32_t[]){0, 1}, 9));
    nereid_tensor *halves = nereid_softmax(nereid_zeros(NEREID_FP32, NEREID_SHAPE(2)), -1);
    said = shown(said, "softmax", nereid_affine_all(halves, 100, 0));
    said = shown(said, "argmax", nereid_argmax(a, -1));
    nereid_tensor *indices;
    said = shown(said, "top-k", nereid_top_k(a, 2, -1, &indices));
    return shown(said, "top-k", indices);
}

static const char *boxes(const char *said) {
    const float corners[] = {0, 0, 10, 10, 0, 0, 10, 9, 20, 20, 30, 30}, sure[] = {0.5f, 0.875f, 0.75f}, least = 0;
    nereid_tensor *boxes = nereid_from(NEREID_FP32, NEREID_SHAPE(3, 4), corners);
    nereid_tensor *scores = nereid_from(NEREID_FP32, NEREID_SHAPE(3), sure);
    said = shown(said, "suppress", nereid_suppress(boxes, scores, (nereid_suppression){.overlap = 0.5f}));
    nereid_suppression best = {.overlap = 0.5f, .score_min = &least, .kept_max = 1};
    return shown(said, "suppress", nereid_suppress(boxes, scores, best));
}

static const char *pictures(const char *said, nereid_tensor *image) {
    said = shown(said, "crop", nereid_crop(image, 0, 1, 2, 2));
    said = shown(said, "resize", nereid_resize(image, 1, 6, NEREID_NEAREST));
    said = shown(said, "first", nereid_to_channels_first(image));
    return shown(said, "last", nereid_to_channels_last(nereid_to_channels_first(image)));
}

static const char *texts(const char *said) {
    nereid_tensor *words = nereid_from_texts(NEREID_SHAPE(2), (const char *const[]){"cat", "dog"});
    nereid_tensor *encoded = nereid_encode_base64(words, false, false);
    const char **codes = nereid_texts(encoded, 0, 2), **back = nereid_texts(nereid_decode_base64(encoded, false), 1, 1);
    if (codes == NULL || back == NULL) {
        return said;
    }
    said = say(said, "\nbase64 %s %s %s", codes[0], codes[1], back[0]);
    said = shown(said, "blob", nereid_blob_bytes(words, 1));
    nereid_tensor *file = nereid_decode_base64(nereid_from_texts(NEREID_SHAPE(1), &PNG), false);
    return shown(said, "decode", nereid_decode_image(file, 0, 3));
}

const char *all_operations(nereid_tensor *x) {
    const char *said = boxes(numbers("", nereid_reshape(x, NEREID_SHAPE(2, 3))));
    said = texts(pictures(said, nereid_reshape(x, NEREID_SHAPE(2, 3, 1))));
    return nereid_error(NULL) == NULL ? said : NULL;
}
