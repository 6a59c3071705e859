/* Tensors: the host's typed, shaped bytes, held by handle. Copies are made in pieces, which stay in the processor's cache. */

#include "internal.h"

#define PIECE_BYTES ((uint64_t)1 << 16)

nereid_type nereid_type_of(const nereid_tensor *tensor) {
    return nereid_missing(tensor) ? NEREID_BOOL : (nereid_type)nereid_plugin_tensors_method_tensor_dtype(borrowed(tensor));
}

nereid_shape nereid_shape_of(const nereid_tensor *tensor) {
    nereid_bindings_list_u64_t extents = {NULL, 0};
    if (!nereid_missing(tensor)) {
        nereid_plugin_tensors_method_tensor_shape(borrowed(tensor), &extents);
    }
    return (nereid_shape){extents.ptr, extents.len};
}

uint64_t nereid_count(const nereid_tensor *tensor) {
    return nereid_missing(tensor) ? 0 : nereid_plugin_tensors_method_tensor_element_count(borrowed(tensor));
}

uint64_t nereid_byte_size(const nereid_tensor *tensor) {
    return nereid_missing(tensor) ? 0 : nereid_plugin_tensors_method_tensor_byte_size(borrowed(tensor));
}

bool nereid_read_into(const nereid_tensor *tensor, uint64_t offset, void *data, size_t size) {
    if (nereid_missing(tensor)) {
        return false;
    }
    for (size_t done = 0; done < size;) {
        uint32_t length = (uint32_t)(size - done < PIECE_BYTES ? size - done : PIECE_BYTES);
        nereid_bindings_list_u8_t piece;
        host_error error;
        bool is_read =
            nereid_plugin_tensors_method_tensor_read(borrowed(tensor), (uint32_t)(offset + done), length, &piece, &error);
        if (!nereid_checked(is_read, &error)) {
            return false;
        }
        memcpy((char *)data + done, piece.ptr, piece.len);
        nereid_release(piece.ptr);
        done += length;
    }
    return true;
}

void *nereid_read(const nereid_tensor *tensor) {
    if (nereid_missing(tensor)) {
        return NULL;
    }
    size_t size = (size_t)nereid_byte_size(tensor);
    void *data = nereid_alloc(size);
    return nereid_read_into(tensor, 0, data, size) ? data : NULL;
}

float *nereid_read_f32(const nereid_tensor *tensor) {
    if (nereid_missing(tensor)) {
        return NULL;
    }
    if (nereid_type_of(tensor) != NEREID_FP32) {
        nereid_fail(NEREID_INVALID_ARGUMENT, "the plugin reads FP32, and the tensor is of another type");
        return NULL;
    }
    return nereid_read(tensor);
}

nereid_bytes *nereid_blobs(const nereid_tensor *tensor) {
    if (nereid_missing(tensor)) {
        return NULL;
    }
    nereid_bindings_list_list_u8_t blobs;
    host_error error;
    uint32_t count = (uint32_t)nereid_count(tensor);
    bool is_read = nereid_plugin_tensors_method_tensor_read_blobs(borrowed(tensor), 0, count, &blobs, &error);
    if (!nereid_checked(is_read, &error)) {
        return NULL;
    }
    nereid_bytes *items = nereid_alloc(blobs.len * sizeof *items);
    for (size_t index = 0; index < blobs.len; index++) {
        items[index] = (nereid_bytes){blobs.ptr[index].ptr, blobs.ptr[index].len};
    }
    return items;
}

static nereid_bindings_list_u64_t host_shape(nereid_shape shape) {
    return (nereid_bindings_list_u64_t){(uint64_t *)shape.extents, shape.rank};
}

static uint64_t elements_of(nereid_shape shape) {
    uint64_t count = 1;
    for (size_t index = 0; index < shape.rank; index++) {
        count *= shape.extents[index];
    }
    return count;
}

static size_t size_of(nereid_type type) {
    static const uint8_t sizes[] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8};
    return type < NEREID_BYTES ? sizes[type] : 0;
}

nereid_tensor *nereid_from(nereid_type type, nereid_shape shape, const void *data) {
    if (nereid_missing(data)) {
        return NULL;
    }
    if (type == NEREID_BYTES) {
        nereid_fail(NEREID_INTERNAL, "elements of NEREID_BYTES have no fixed size: use nereid_from_blobs");
        return NULL;
    }
    size_t size = (size_t)elements_of(shape) * size_of(type);
    if (size <= PIECE_BYTES) {
        return nereid_from_bytes(type, shape, (nereid_bytes){data, size});
    }
    nereid_tensor *tensor = nereid_zeros(type, shape);
    return nereid_write(tensor, 0, data, size) ? tensor : NULL;
}

nereid_tensor *nereid_from_bytes(nereid_type type, nereid_shape shape, nereid_bytes bytes) {
    nereid_bindings_list_u64_t extents = host_shape(shape);
    nereid_bindings_list_u8_t list = {(uint8_t *)bytes.data, bytes.size};
    MAKE(nereid_plugin_tensors_static_tensor_from_bytes, (uint8_t)type, &extents, &list);
}

nereid_tensor *nereid_from_blobs(nereid_shape shape, const nereid_bytes *items) {
    if (nereid_missing(items)) {
        return NULL;
    }
    nereid_bindings_list_u64_t extents = host_shape(shape);
    nereid_bindings_list_list_u8_t blobs;
    blobs.len = (size_t)elements_of(shape);
    blobs.ptr = nereid_alloc(blobs.len * sizeof *blobs.ptr);
    for (size_t index = 0; index < blobs.len; index++) {
        blobs.ptr[index] = (nereid_bindings_list_u8_t){(uint8_t *)items[index].data, items[index].size};
    }
    MAKE(nereid_plugin_tensors_static_tensor_from_blobs, &extents, &blobs);
}

nereid_tensor *nereid_zeros(nereid_type type, nereid_shape shape) {
    nereid_bindings_list_u64_t extents = host_shape(shape);
    MAKE(nereid_plugin_tensors_static_tensor_create, (uint8_t)type, &extents);
}

bool nereid_write(nereid_tensor *tensor, uint64_t offset, const void *data, size_t size) {
    if (nereid_missing(tensor) || nereid_missing(data)) {
        return false;
    }
    for (size_t done = 0; done < size;) {
        size_t length = size - done < PIECE_BYTES ? size - done : PIECE_BYTES;
        nereid_bindings_list_u8_t piece = {(uint8_t *)data + done, length};
        host_error error;
        bool is_written =
            nereid_plugin_tensors_method_tensor_write(borrowed(tensor), (uint32_t)(offset + done), &piece, &error);
        if (!nereid_checked(is_written, &error)) {
            return false;
        }
        done += length;
    }
    return true;
}

nereid_tensor *nereid_share(const nereid_tensor *tensor) {
    if (nereid_missing(tensor)) {
        return NULL;
    }
    return nereid_own_tensor(nereid_plugin_tensors_method_tensor_share(borrowed(tensor)));
}

nereid_tensor *nereid_reshape(const nereid_tensor *tensor, nereid_shape shape) {
    if (nereid_missing(tensor)) {
        return NULL;
    }
    nereid_bindings_list_u64_t extents = host_shape(shape);
    MAKE(nereid_plugin_tensors_method_tensor_reshape, borrowed(tensor), &extents);
}

nereid_tensor *nereid_slice(const nereid_tensor *tensor, uint64_t first, nereid_shape shape) {
    if (nereid_missing(tensor)) {
        return NULL;
    }
    nereid_bindings_list_u64_t extents = host_shape(shape);
    MAKE(nereid_plugin_tensors_method_tensor_slice, borrowed(tensor), first, &extents);
}

void nereid_drop(nereid_tensor *tensor) {
    if (tensor != NULL && tensor->handle.__handle != GONE) {
        nereid_plugin_tensors_tensor_drop_own(tensor->handle);
        tensor->handle.__handle = GONE;
    }
}
