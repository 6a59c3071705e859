// What the server and the shim say to each other: plain C, so that neither needs to know the other's compiler.
//
// Every function that can fail returns null and leaves a text behind `error`, which the caller gives back to
// `nereid_torch_free_text`. No exception and no type of LibTorch crosses this line. `src/ffi.rs` is the other side: change
// both, and count NEREID_TORCH_INTERFACE up.
#ifndef NEREID_TORCH_H
#define NEREID_TORCH_H

#include <cstddef>
#include <cstdint>

#define NEREID_TORCH_INTERFACE 3

extern "C" {

// Element types, by numbers of our own.
enum NereidTorchType : uint32_t {
  NEREID_TORCH_BOOL = 0,
  NEREID_TORCH_UINT8 = 1,
  NEREID_TORCH_UINT16 = 2,
  NEREID_TORCH_UINT32 = 3,
  NEREID_TORCH_UINT64 = 4,
  NEREID_TORCH_INT8 = 5,
  NEREID_TORCH_INT16 = 6,
  NEREID_TORCH_INT32 = 7,
  NEREID_TORCH_INT64 = 8,
  NEREID_TORCH_FP16 = 9,
  NEREID_TORCH_FP32 = 10,
  NEREID_TORCH_FP64 = 11,
  NEREID_TORCH_BF16 = 12,
  NEREID_TORCH_OTHER = 13,
};

// Where a model computes.
enum NereidTorchPlace : uint32_t {
  NEREID_TORCH_CPU = 0,
  NEREID_TORCH_CUDA = 1,
  // Wherever the file says, part by part.
  NEREID_TORCH_AS_SAVED = 2,
};

// A switch that a configuration may leave alone.
enum NereidTorchSwitch : int32_t { NEREID_TORCH_UNSAID = -1, NEREID_TORCH_OFF = 0, NEREID_TORCH_ON = 1 };

// Where memory is: the ordinal of a CUDA device, or this.
#define NEREID_TORCH_HOST (-1)

// What may be done with memory of the caller's.
enum NereidTorchUse : uint32_t {
  // Read where it is; nobody writes to it.
  NEREID_TORCH_IN_PLACE = 0,
  // Read where it is; others may write to it later, so that an output that lies in it is copied.
  NEREID_TORCH_OPEN = 1,
  // Copied before anything is computed.
  NEREID_TORCH_COPY = 2,
};

struct NereidTorchModel;
struct NereidTorchStream;
struct NereidTorchResult;
struct NereidTorchTensor;

// How one execution is to be done. Switches other than `optimize` are the whole process's, as in LibTorch.
struct NereidTorchRunOptions {
  int32_t threads;
  int32_t inference_mode;
  int32_t optimize;
  int32_t jit_executor;
  int32_t jit_profiling;
  int32_t tensor_fuser;
  int32_t cudnn;
  int32_t empty_cache;
  // On a CUDA device: whether all outputs stay there, not only large ones, and whether those that do are copied in case the
  // model changes them later.
  int32_t keeps_on_device;
  int32_t copies_outputs;
};

// Memory of the caller's. `owner` is given to `release` once, when neither LibTorch nor a device refers to the memory any
// more: after the execution, or as late as the last output or attribute of the model that shares it. Also when the call fails.
struct NereidTorchPart {
  void* data;
  size_t length_bytes;
  int32_t device;
  uint32_t use;
  void* owner;
  void (*release)(void* owner);
};

// An argument, whose elements lie in its parts, one after the other. For a model on the CPU it is one part, of the host,
// which is used in place.
struct NereidTorchInput {
  // The key, where the model takes a dictionary; null otherwise.
  const char* key;
  const int64_t* dimensions;
  size_t rank;
  uint32_t type;
  const NereidTorchPart* parts;
  size_t part_count;
};

// What a tensor is and where. `data` and `dimensions` live as long as the tensor.
struct NereidTorchView {
  const void* data;
  const int64_t* dimensions;
  size_t rank;
  uint32_t type;
  int32_t device;
};

int32_t nereid_torch_interface();
const char* nereid_torch_version();
// Loads LibTorch's part for CUDA, which lies beside the part for the CPU; the number of devices that it can use, or -1.
// Has to come before everything that asks LibTorch about CUDA: it remembers the answer.
int32_t nereid_torch_load_cuda(char** error);
void nereid_torch_free_text(char* text);

// Threads across operators, for the whole process; the first call that is in time counts. The number now in force.
int32_t nereid_torch_set_interop_threads(int32_t threads);

// A stream of a CUDA device, for executions one after the other.
NereidTorchStream* nereid_torch_new_stream(int32_t device, char** error);
void nereid_torch_free_stream(NereidTorchStream* stream);
// Waits for all that a CUDA device does; 0, or -1 when the device is of no use any more.
int32_t nereid_torch_synchronise(int32_t device, char** error);

NereidTorchModel* nereid_torch_load(const char* path, uint32_t place, int32_t device, int32_t inference_mode, char** error);
// What an AOTInductor package was compiled for, CPU or CUDA; -1 for a file that is none. Runs nothing of what is in it.
int32_t nereid_torch_package_place(const char* path, char** error);
// Loads a package: native code, which runs from here on.
NereidTorchModel* nereid_torch_load_package(const char* path, uint32_t place, int32_t device, char** error);
void nereid_torch_free_model(NereidTorchModel* model);

// The arguments of `forward` after `self`; null behind the last.
const char* nereid_torch_argument(const NereidTorchModel* model, size_t index);
// Whether the argument may be left out.
int32_t nereid_torch_argument_has_default(const NereidTorchModel* model, size_t index);
// Whether `forward` takes one dictionary from names to tensors.
int32_t nereid_torch_takes_dictionary(const NereidTorchModel* model);
// Whether an execution may write to what it is given.
int32_t nereid_torch_writes_inputs(const NereidTorchModel* model);
// Whether an execution may change the model: two at a time would meet.
int32_t nereid_torch_writes_itself(const NereidTorchModel* model);
// Bytes of parameters and buffers.
uint64_t nereid_torch_weight_bytes(const NereidTorchModel* model);

// `stream` is one of the model's device; null for a model that is on no CUDA device. What is given out is complete.
NereidTorchResult* nereid_torch_run(NereidTorchModel* model, const NereidTorchStream* stream,
                                    const NereidTorchRunOptions* options, const NereidTorchInput* inputs,
                                    size_t input_count, char** error);
size_t nereid_torch_output_count(const NereidTorchResult* result);
// The key of an output of a dictionary; null for the others.
const char* nereid_torch_output_key(const NereidTorchResult* result, size_t index);
// Takes an output out of the result, once.
NereidTorchTensor* nereid_torch_take_output(NereidTorchResult* result, size_t index);
void nereid_torch_free_result(NereidTorchResult* result);

void nereid_torch_view(const NereidTorchTensor* tensor, NereidTorchView* view);
void nereid_torch_free_tensor(NereidTorchTensor* tensor);

}  // extern "C"

#endif
