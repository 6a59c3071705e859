// TensorRT behind plain C: its library is loaded at run time, everything else are virtual calls that the headers know.
//
// Nothing is linked: one compiled shim serves every library of the headers' major version, wherever it lies. TensorRT throws
// nothing across its interface; what it has to say comes through its logger, on the thread that called.
#include "nereid_tensorrt.h"

#include <NvInferRuntime.h>
#include <dlfcn.h>

#include <cstring>
#include <memory>
#include <string>

namespace {

constexpr int32_t HEADERS = NV_TENSORRT_MAJOR * 10000 + NV_TENSORRT_MINOR * 100 + NV_TENSORRT_PATCH;

// Without a working driver TensorRT returns small numbers for objects.
constexpr uintptr_t ADDRESS_MIN = 4096;

// What TensorRT complained of on this thread since it was last asked.
thread_local std::string complaints;

class Logger : public nvinfer1::ILogger {
 public:
  void log(Severity severity, const char* text) noexcept override {
    if (severity > Severity::kERROR) return;
    try {
      if (!complaints.empty()) complaints += "; ";
      complaints += text;
    } catch (...) {
      // No memory for the text: the caller gets the sentence alone.
    }
  }
};

Logger& logger() {
  static Logger only;
  return only;
}

template <typename T>
bool is_object(const T* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) >= ADDRESS_MIN;
}

// The sentence, with what TensorRT said behind it.
void fail(char** error, std::string sentence) {
  if (!complaints.empty()) sentence += ": " + complaints;
  complaints.clear();
  *error = strdup(sentence.c_str());
}

nvinfer1::Dims dims_of(const NereidTensorrtShape& shape) {
  nvinfer1::Dims dims{};
  dims.nbDims = shape.rank;
  for (int32_t place = 0; place < shape.rank && place < nvinfer1::Dims::MAX_DIMS; ++place) dims.d[place] = shape.extents[place];
  return dims;
}

// False for what is no shape at all: TensorRT's -1 dimensions.
bool shape_of(const nvinfer1::Dims& dims, NereidTensorrtShape* shape) {
  *shape = {};
  if (dims.nbDims < 0 || dims.nbDims > NEREID_TENSORRT_RANK_MAX) return false;
  shape->rank = dims.nbDims;
  for (int32_t place = 0; place < dims.nbDims; ++place) shape->extents[place] = dims.d[place];
  return true;
}

uint32_t type_of(nvinfer1::DataType type) {
  switch (type) {
    case nvinfer1::DataType::kFLOAT: return NEREID_TENSORRT_FP32;
    case nvinfer1::DataType::kHALF: return NEREID_TENSORRT_FP16;
    case nvinfer1::DataType::kINT8: return NEREID_TENSORRT_INT8;
    case nvinfer1::DataType::kINT32: return NEREID_TENSORRT_INT32;
    case nvinfer1::DataType::kBOOL: return NEREID_TENSORRT_BOOL;
    case nvinfer1::DataType::kUINT8: return NEREID_TENSORRT_UINT8;
    case nvinfer1::DataType::kBF16: return NEREID_TENSORRT_BF16;
    case nvinfer1::DataType::kINT64: return NEREID_TENSORRT_INT64;
    default: return NEREID_TENSORRT_OTHER;
  }
}

using Version = int32_t (*)() noexcept;
using CreateRuntime = void* (*)(void*, int32_t) noexcept;

}  // namespace

struct NereidTensorrtLibrary {
  int32_t version;
  CreateRuntime create_runtime;
};

// The engine goes before the runtime that made it.
struct NereidTensorrtEngine {
  std::unique_ptr<nvinfer1::IRuntime> runtime;
  std::unique_ptr<nvinfer1::ICudaEngine> engine;
};

struct NereidTensorrtContext {
  std::unique_ptr<nvinfer1::IExecutionContext> context;
};

namespace {

const char* name_of(const NereidTensorrtEngine* engine, size_t index) {
  auto count = static_cast<size_t>(engine->engine->getNbIOTensors());
  return index < count ? engine->engine->getIOTensorName(static_cast<int32_t>(index)) : nullptr;
}

std::string version_text(int32_t version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." + std::to_string(version % 100);
}

}  // namespace

extern "C" {

int32_t nereid_tensorrt_interface() {
  return NEREID_TENSORRT_INTERFACE;
}

int32_t nereid_tensorrt_headers() {
  return HEADERS;
}

void nereid_tensorrt_free_text(char* text) {
  free(text);
}

NereidTensorrtLibrary* nereid_tensorrt_open(const char* path, char** error) {
  // Global, because plugins of TensorRT look for its functions there. Never closed: its threads may run.
  void* handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
  if (handle == nullptr) {
    const char* reason = dlerror();
    fail(error, reason == nullptr ? "cannot be loaded" : reason);
    return nullptr;
  }
  auto version = reinterpret_cast<Version>(dlsym(handle, "getInferLibVersion"));
  auto create = reinterpret_cast<CreateRuntime>(dlsym(handle, "createInferRuntime_INTERNAL"));
  if (version == nullptr || create == nullptr) {
    fail(error, "not a TensorRT runtime: it has no createInferRuntime");
    return nullptr;
  }
  int32_t found = version();
  if (found / 10000 != HEADERS / 10000) {
    fail(error, "TensorRT " + version_text(found) + ", but the shim was compiled for TensorRT " + version_text(HEADERS) +
                    ", and objects of another major version have another form in memory");
    return nullptr;
  }
  return new NereidTensorrtLibrary{found, create};
}

int32_t nereid_tensorrt_version(const NereidTensorrtLibrary* library) {
  return library->version;
}

NereidTensorrtEngine* nereid_tensorrt_deserialise(const NereidTensorrtLibrary* library, const void* plan, size_t length,
                                                  int32_t allow_code, char** error) {
  complaints.clear();
  auto* runtime = static_cast<nvinfer1::IRuntime*>(library->create_runtime(&logger(), HEADERS));
  if (!is_object(runtime)) {
    fail(error, "TensorRT could not make a runtime");
    return nullptr;
  }
  auto made = std::make_unique<NereidTensorrtEngine>();
  made->runtime.reset(runtime);
  runtime->setEngineHostCodeAllowed(allow_code != 0);
  auto* engine = runtime->deserializeCudaEngine(plan, length);
  if (!is_object(engine)) {
    fail(error, "TensorRT refuses the plan");
    return nullptr;
  }
  made->engine.reset(engine);
  return made.release();
}

void nereid_tensorrt_free_engine(NereidTensorrtEngine* engine) {
  if (engine == nullptr) return;
  engine->engine.reset();
  delete engine;
}

size_t nereid_tensorrt_tensor_count(const NereidTensorrtEngine* engine) {
  return static_cast<size_t>(engine->engine->getNbIOTensors());
}

const char* nereid_tensorrt_tensor_name(const NereidTensorrtEngine* engine, size_t index) {
  return name_of(engine, index);
}

void nereid_tensorrt_describe(const NereidTensorrtEngine* engine, size_t index, NereidTensorrtTensor* tensor) {
  *tensor = {};
  const char* name = name_of(engine, index);
  if (name == nullptr) return;
  auto& held = *engine->engine;
  tensor->type = type_of(held.getTensorDataType(name));
  tensor->is_input = held.getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT;
  tensor->is_shape = held.isShapeInferenceIO(name);
  tensor->is_linear = held.getTensorFormat(name) == nvinfer1::TensorFormat::kLINEAR;
  shape_of(held.getTensorShape(name), &tensor->shape);
}

size_t nereid_tensorrt_profile_count(const NereidTensorrtEngine* engine) {
  return static_cast<size_t>(engine->engine->getNbOptimizationProfiles());
}

int32_t nereid_tensorrt_profile(const NereidTensorrtEngine* engine, size_t index, size_t profile,
                                NereidTensorrtShape shapes[3]) {
  const char* name = name_of(engine, index);
  if (name == nullptr || profile >= nereid_tensorrt_profile_count(engine)) return 0;
  constexpr nvinfer1::OptProfileSelector SELECTORS[] = {
      nvinfer1::OptProfileSelector::kMIN, nvinfer1::OptProfileSelector::kOPT, nvinfer1::OptProfileSelector::kMAX};
  for (size_t place = 0; place < 3; ++place) {
    auto dims = engine->engine->getProfileShape(name, static_cast<int32_t>(profile), SELECTORS[place]);
    if (!shape_of(dims, &shapes[place])) return 0;
  }
  return 1;
}

uint64_t nereid_tensorrt_context_bytes(const NereidTensorrtEngine* engine, size_t profile) {
  auto bytes = engine->engine->getDeviceMemorySizeForProfileV2(static_cast<int32_t>(profile));
  return bytes < 0 ? 0 : static_cast<uint64_t>(bytes);
}

NereidTensorrtContext* nereid_tensorrt_context(NereidTensorrtEngine* engine, size_t profile, void* stream, uint64_t memory,
                                               uint64_t length, char** error) {
  complaints.clear();
  auto strategy = nvinfer1::ExecutionContextAllocationStrategy::kUSER_MANAGED;
  auto* context = engine->engine->createExecutionContext(strategy);
  if (!is_object(context)) {
    fail(error, "TensorRT could not make an execution context");
    return nullptr;
  }
  auto made = std::make_unique<NereidTensorrtContext>();
  made->context.reset(context);
  if (!context->setOptimizationProfileAsync(static_cast<int32_t>(profile), static_cast<cudaStream_t>(stream))) {
    fail(error, "TensorRT refuses profile " + std::to_string(profile));
    return nullptr;
  }
  context->setDeviceMemoryV2(reinterpret_cast<void*>(memory), static_cast<int64_t>(length));
  return made.release();
}

void nereid_tensorrt_free_context(NereidTensorrtContext* context) {
  delete context;
}

int32_t nereid_tensorrt_set_input(NereidTensorrtContext* context, const char* name, const NereidTensorrtShape* shape,
                                  uint64_t address, char** error) {
  complaints.clear();
  if (context->context->setInputShape(name, dims_of(*shape)) &&
      context->context->setInputTensorAddress(name, reinterpret_cast<const void*>(address))) {
    return 1;
  }
  fail(error, std::string("TensorRT refuses input '") + name + "'");
  return 0;
}

int32_t nereid_tensorrt_output_shape(const NereidTensorrtContext* context, const char* name, NereidTensorrtShape* shape) {
  return shape_of(context->context->getTensorShape(name), shape);
}

int32_t nereid_tensorrt_set_output(NereidTensorrtContext* context, const char* name, uint64_t address, char** error) {
  complaints.clear();
  if (context->context->setTensorAddress(name, reinterpret_cast<void*>(address))) return 1;
  fail(error, std::string("TensorRT refuses memory for output '") + name + "'");
  return 0;
}

int32_t nereid_tensorrt_enqueue(NereidTensorrtContext* context, void* stream, char** error) {
  complaints.clear();
  if (context->context->enqueueV3(static_cast<cudaStream_t>(stream))) return 1;
  fail(error, "TensorRT could not start the execution");
  return 0;
}

}  // extern "C"
