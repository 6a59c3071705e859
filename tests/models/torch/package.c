/* What a compiled model looks like to LibTorch, without a compiler of models: doubles its one input, of FP32.
 *
 * The functions and their types are those that LibTorch asks a package's library for (aoti_runtime/interface.h); the tensors
 * are LibTorch's own, through the C interface that compiled models use. What a model has no use for answers "nothing". */
#include <stdint.h>
#include <string.h>

typedef void* Handle;

extern int32_t aoti_torch_clone(Handle tensor, Handle* copy);
extern int32_t aoti_torch_delete_tensor_object(Handle tensor);
extern int32_t aoti_torch_get_data_ptr(Handle tensor, void** data);
extern int32_t aoti_torch_get_numel(Handle tensor, int64_t* elements);
extern int32_t aoti_torch_get_dim(Handle tensor, int64_t* rank);

static char model;

int32_t AOTInductorModelContainerCreate(Handle* container, size_t count, _Bool is_cpu, const char* folder) {
  *container = &model;
  return 0;
}

int32_t AOTInductorModelContainerCreateWithDevice(Handle* container, size_t count, const char* device, const char* folder) {
  *container = &model;
  return strncmp(device, "cpu", 3) != 0;
}

int32_t AOTInductorModelContainerDelete(Handle container) {
  return 0;
}

int32_t AOTInductorModelContainerRun(Handle container, Handle* inputs, size_t input_count, Handle* outputs,
                                     size_t output_count, Handle stream, Handle executor) {
  int64_t rank = 0, elements = 0;
  void* data = NULL;
  if (aoti_torch_get_dim(inputs[0], &rank) || rank != 2) return 1;
  if (aoti_torch_clone(inputs[0], &outputs[0]) || aoti_torch_delete_tensor_object(inputs[0])) return 1;
  if (aoti_torch_get_data_ptr(outputs[0], &data) || aoti_torch_get_numel(outputs[0], &elements)) return 1;
  for (int64_t index = 0; index < elements; ++index) ((float*)data)[index] *= 2.0f;
  return 0;
}

int32_t AOTInductorModelContainerRunSingleThreaded(Handle container, Handle* inputs, size_t input_count, Handle* outputs,
                                                   size_t output_count, Handle stream, Handle executor) {
  return AOTInductorModelContainerRun(container, inputs, input_count, outputs, output_count, stream, executor);
}

int32_t AOTInductorModelContainerGetNumOutputs(Handle container, size_t* count) {
  *count = 1;
  return 0;
}

int32_t AOTInductorModelContainerGetNumConstants(Handle container, size_t* count) {
  *count = 0;
  return 0;
}

int32_t AOTInductorModelContainerGetCallSpec(Handle container, const char** taken, const char** given) {
  *taken = "[1, {\"type\": \"builtins.tuple\", \"context\": \"null\", \"children_spec\": [{\"type\": \"builtins.tuple\", "
           "\"context\": \"null\", \"children_spec\": [{\"type\": null, \"context\": null, \"children_spec\": []}]}, "
           "{\"type\": \"builtins.dict\", \"context\": \"[]\", \"children_spec\": []}]}]";
  *given = "[1, {\"type\": null, \"context\": null, \"children_spec\": []}]";
  return 0;
}

#define NOTHING(name)     \
  int32_t name(Handle a) { \
    return 1;              \
  }

NOTHING(AOTInductorModelContainerGetConstantName)
NOTHING(AOTInductorModelContainerGetConstantOriginalFQN)
NOTHING(AOTInductorModelContainerGetConstantDtype)
NOTHING(AOTInductorModelContainerExtractConstantsMap)
NOTHING(AOTInductorModelContainerUpdateUserManagedConstantBuffer)
NOTHING(AOTInductorModelContainerUpdateConstantBuffer)
NOTHING(AOTInductorModelContainerUpdateInactiveConstantBuffer)
NOTHING(AOTInductorModelContainerFreeInactiveConstantBuffer)
NOTHING(AOTInductorModelContainerRunConstantFolding)
NOTHING(AOTInductorModelContainerSwapConstantBuffer)
NOTHING(AOTInductorModelContainerGetConstantsBlobSize)
NOTHING(AOTInductorModelUpdateConstantsFromBlob)
