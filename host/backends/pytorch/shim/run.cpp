// One execution: arguments to where the model computes, `forward`, outputs to where the caller can use them.
//
// On a CUDA device all of it is one stream's work, which is waited for before anything is given out or back.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/StreamGuard.h>
#include <torch/csrc/jit/passes/tensorexpr_fuser.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/runtime/profiling_graph_executor_impl.h>

#include <memory>
#include <stdexcept>

#include "device.h"
#include "guarded.h"
#include "model.h"

namespace {

void set_switches(const NereidTorchRunOptions& options) {
  if (at::get_num_threads() != options.threads) at::set_num_threads(options.threads);
  torch::jit::setGraphExecutorOptimize(options.optimize != NEREID_TORCH_OFF);
  if (options.jit_executor >= 0) torch::jit::getExecutorMode() = options.jit_executor == NEREID_TORCH_ON;
  if (options.jit_profiling >= 0) torch::jit::getProfilingMode() = options.jit_profiling == NEREID_TORCH_ON;
  if (options.tensor_fuser >= 0) torch::jit::setTensorExprFuserEnabled(options.tensor_fuser == NEREID_TORCH_ON);
  if (options.cudnn >= 0) at::globalContext().setUserEnabledCuDNN(options.cudnn == NEREID_TORCH_ON);
}

void add_output(NereidTorchResult& result, const c10::IValue& value, const nereid::Delivery& delivery) {
  if (!value.isTensor()) {
    const auto index = std::to_string(result.outputs.size());
    throw std::invalid_argument("output " + index + " of the model is a " + value.type()->str() + ", expected a Tensor");
  }
  result.outputs.emplace_back(nereid::delivered(value.toTensor(), delivery));
}

std::unique_ptr<NereidTorchResult> result_of(const c10::IValue& value, const nereid::Delivery& delivery) {
  auto result = std::make_unique<NereidTorchResult>();
  if (value.isTuple()) {
    for (const auto& element : value.toTupleRef().elements()) add_output(*result, element, delivery);
  } else if (value.isList()) {
    for (const c10::IValue& element : value.toListRef()) add_output(*result, element, delivery);
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) {
      if (!entry.key().isString()) throw std::invalid_argument("the model gives a dictionary whose keys are not strings");
      result->keys.push_back(entry.key().toStringRef());
      add_output(*result, entry.value(), delivery);
    }
  } else {
    add_output(*result, value, delivery);
  }
  return result;
}

}  // namespace

extern "C" {

void nereid_torch_free_model(NereidTorchModel* model) {
  delete model;
}

const char* nereid_torch_argument(const NereidTorchModel* model, size_t index) {
  return index < model->arguments.size() ? model->arguments[index].name.c_str() : nullptr;
}

int32_t nereid_torch_argument_has_default(const NereidTorchModel* model, size_t index) {
  return index < model->arguments.size() && model->arguments[index].has_default;
}

int32_t nereid_torch_takes_dictionary(const NereidTorchModel* model) {
  return model->takes_dictionary;
}

int32_t nereid_torch_writes_inputs(const NereidTorchModel* model) {
  return model->writes_inputs;
}

int32_t nereid_torch_writes_itself(const NereidTorchModel* model) {
  return model->writes_itself;
}

uint64_t nereid_torch_weight_bytes(const NereidTorchModel* model) {
  try {
    return model->weight_bytes();
  } catch (...) {
    return 0;
  }
}

NereidTorchResult* nereid_torch_run(NereidTorchModel* model, const NereidTorchStream* stream,
                                    const NereidTorchRunOptions* options, const NereidTorchInput* inputs,
                                    size_t input_count, char** error) {
  // Given back last of all, after the stream was waited for, whatever is thrown.
  nereid::Arguments arguments(inputs, input_count);
  return nereid::guarded<NereidTorchResult*>(error, nullptr, [&]() {
    set_switches(*options);
    c10::InferenceMode inference(options->inference_mode != NEREID_TORCH_OFF);
    at::NoGradGuard no_gradients;
    std::optional<c10::StreamGuard> current;
    if (stream) current.emplace(stream->stream);
    nereid::Finish finish(stream);
    const auto value = model->forward(arguments.on(model->device), arguments);
    const nereid::Delivery delivery{model->device, options->keeps_on_device == NEREID_TORCH_ON,
                                    options->copies_outputs == NEREID_TORCH_ON, arguments};
    auto result = result_of(value, delivery);
    finish.wait();
    if (options->empty_cache == NEREID_TORCH_ON && model->device.is_cuda()) {
      c10::getDeviceAllocator(at::kCUDA)->emptyCache();
    }
    return result.release();
  });
}

}  // extern "C"
