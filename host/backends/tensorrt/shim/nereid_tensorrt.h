// What the server and the shim say to each other: plain C, so that neither needs to know the other's compiler. C compilers
// read it too: `tests/gpu/software/tensorrt.c` stands in for the shim where there is no GPU.
//
// A function that can fail returns null or 0 and leaves a text behind `error`, which the caller gives back to
// `nereid_tensorrt_free_text`. No exception and no type of TensorRT crosses this line. Everything below a runtime needs a
// CUDA driver and a current context on the calling thread: TensorRT 11 does not survive the lack of one. `src/ffi.rs` is the
// other side: change both, and count NEREID_TENSORRT_INTERFACE up.
#ifndef NEREID_TENSORRT_H
#define NEREID_TENSORRT_H

#include <stddef.h>
#include <stdint.h>

#define NEREID_TENSORRT_INTERFACE 2

// TensorRT's own limit.
#define NEREID_TENSORRT_RANK_MAX 8

#ifdef __cplusplus
extern "C" {
#endif

// Element types, by numbers of our own.
enum NereidTensorrtType {
  NEREID_TENSORRT_FP32 = 0,
  NEREID_TENSORRT_FP16 = 1,
  NEREID_TENSORRT_INT8 = 2,
  NEREID_TENSORRT_INT32 = 3,
  NEREID_TENSORRT_BOOL = 4,
  NEREID_TENSORRT_UINT8 = 5,
  NEREID_TENSORRT_BF16 = 6,
  NEREID_TENSORRT_INT64 = 7,
  NEREID_TENSORRT_OTHER = 8,
};

typedef struct NereidTensorrtLibrary NereidTensorrtLibrary;
typedef struct NereidTensorrtEngine NereidTensorrtEngine;
typedef struct NereidTensorrtContext NereidTensorrtContext;

// Extents; -1 is any.
typedef struct NereidTensorrtShape {
  int32_t rank;
  int64_t extents[NEREID_TENSORRT_RANK_MAX];
} NereidTensorrtShape;

// One input or output of an engine.
typedef struct NereidTensorrtTensor {
  // One of NereidTensorrtType.
  uint32_t type;
  int32_t is_input;
  // Its values are shapes, and are read on the host.
  int32_t is_shape;
  // Its elements lie in the order of its dimensions, one beside the other.
  int32_t is_linear;
  NereidTensorrtShape shape;
} NereidTensorrtTensor;

int32_t nereid_tensorrt_interface(void);
// Of the headers that the shim was compiled with: 10000 * major + 100 * minor + patch.
int32_t nereid_tensorrt_headers(void);
void nereid_tensorrt_free_text(char* text);

// Loads TensorRT, for ever. Needs no driver. A library of another major version than the headers is refused.
NereidTensorrtLibrary* nereid_tensorrt_open(const char* path, char** error);
// In the form of the headers' version.
int32_t nereid_tensorrt_version(const NereidTensorrtLibrary* library);

// The engine of a plan, on the device of the current context. `allow_code` lets a version-compatible plan bring the runtime
// that it runs with: native code out of the file.
NereidTensorrtEngine* nereid_tensorrt_deserialise(const NereidTensorrtLibrary* library, const void* plan, size_t length,
                                                  int32_t allow_code, char** error);
void nereid_tensorrt_free_engine(NereidTensorrtEngine* engine);

size_t nereid_tensorrt_tensor_count(const NereidTensorrtEngine* engine);
// Null behind the last; lives as long as the engine.
const char* nereid_tensorrt_tensor_name(const NereidTensorrtEngine* engine, size_t index);
void nereid_tensorrt_describe(const NereidTensorrtEngine* engine, size_t index, NereidTensorrtTensor* tensor);
size_t nereid_tensorrt_profile_count(const NereidTensorrtEngine* engine);
// Smallest, best and largest shape of an input in a profile. 0 where there is no such input or profile.
int32_t nereid_tensorrt_profile(const NereidTensorrtEngine* engine, size_t index, size_t profile,
                                NereidTensorrtShape shapes[3]);
// Memory of the device that one context of this profile uses beside the weights.
uint64_t nereid_tensorrt_context_bytes(const NereidTensorrtEngine* engine, size_t profile);

// What one execution at a time is done with. `stream` is a cudaStream_t. It computes in `length` bytes at `memory` of the
// device, at least nereid_tensorrt_context_bytes of them, which contexts may share whose executions never overlap.
NereidTensorrtContext* nereid_tensorrt_context(NereidTensorrtEngine* engine, size_t profile, void* stream, uint64_t memory,
                                               uint64_t length, char** error);
void nereid_tensorrt_free_context(NereidTensorrtContext* context);
int32_t nereid_tensorrt_set_input(NereidTensorrtContext* context, const char* name, const NereidTensorrtShape* shape,
                                  uint64_t address, char** error);
// The shape of an output once all inputs are set; -1 in it is what only the execution tells.
int32_t nereid_tensorrt_output_shape(const NereidTensorrtContext* context, const char* name, NereidTensorrtShape* shape);
int32_t nereid_tensorrt_set_output(NereidTensorrtContext* context, const char* name, uint64_t address, char** error);
// Starts the execution; it is over when the stream is synchronised. A stream that records can be told an execution of shapes
// that this context has executed before; what was recorded is good for as long as the context is told nothing else.
int32_t nereid_tensorrt_enqueue(NereidTensorrtContext* context, void* stream, char** error);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif
