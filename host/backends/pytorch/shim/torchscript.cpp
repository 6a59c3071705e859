// TorchScript files: loading, what `forward` looks like, execution.
//
// Before a model is executed its graph is asked two questions, since the answers decide what may be shared: does it write to
// its arguments (then they are copied first), and does it write to itself (then every instance has its own). What cannot
// be seen through, such as a call of an interface or a fork, is taken for both.
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/passes/tensorexpr_fuser.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/runtime/profiling_graph_executor_impl.h>
#include <torch/script.h>

#include "guarded.h"

struct NereidTorchModel {
  torch::jit::Module module;
  at::Device device;
  bool moves_inputs;
  bool takes_dictionary = false;
  bool writes_inputs = true;
  bool writes_itself = true;
  struct Argument {
    std::string name;
    bool has_default;
  };
  std::vector<Argument> arguments;
};

namespace {

using torch::jit::Node;
using torch::jit::Value;

// What an execution may write to.
struct Writes {
  bool inputs = false;
  bool itself = false;
};

bool is_opaque(const Node* node) {
  switch (node->kind()) {
    case c10::prim::CallMethod:
    case c10::prim::CallFunction:
    case c10::prim::fork:
    case c10::prim::awaitable:
    case c10::prim::PythonOp:
      return true;
    default:
      return false;
  }
}

void find_writes(const torch::jit::Block* block, const torch::jit::AliasDb& aliases, Writes& writes) {
  for (const auto* node : block->nodes()) {
    if (is_opaque(node)) writes = {true, true};
    if (node->kind() == c10::prim::SetAttr) writes.itself = true;
    if (node->kind() == c10::prim::GetAttr && aliases.hasWriters(node->output())) writes.itself = true;
    for (const auto* inner : node->blocks()) find_writes(inner, aliases, writes);
  }
}

bool has_writes(const torch::jit::Block* block) {
  for (const auto* node : block->nodes()) {
    const auto* schema = node->maybeSchema();
    if (schema && schema->is_mutable()) return true;
    for (const auto* inner : node->blocks()) {
      if (has_writes(inner)) return true;
    }
  }
  return false;
}

bool is_training(const torch::jit::Module& module) {
  for (const auto& part : module.modules()) {
    if (part.hasattr("training") && part.is_training()) return true;
  }
  return false;
}

// Puts what is known for what is asked: scripted batch normalisation writes to itself `if self.training`.
void settle_training(torch::jit::Block* block, torch::jit::Graph& graph) {
  for (auto* node : block->nodes()) {
    for (auto* inner : node->blocks()) settle_training(inner, graph);
    if (node->kind() != c10::prim::GetAttr || node->s(c10::attr::name) != "training") continue;
    torch::jit::WithInsertPoint here(node);
    node->output()->replaceAllUsesWith(graph.insertConstant(false));
  }
}

Writes writes_of(const torch::jit::Module& module) {
  auto graph = module.get_method("forward").graph()->copy();
  torch::jit::Inline(*graph);
  if (!is_training(module)) {
    settle_training(graph->block(), *graph);
    torch::jit::ConstantPropagation(graph);
  }
  torch::jit::AliasDb aliases(graph);
  Writes writes;
  find_writes(graph->block(), aliases, writes);
  for (size_t index = 1; index < graph->inputs().size(); ++index) {
    const auto* input = graph->inputs()[index];
    if (aliases.hasWriters(input)) writes.inputs = true;
    // What lies in a container is not told apart; there any write at all counts.
    const bool is_tensor = input->type()->isSubtypeOf(*c10::TensorType::get());
    if (!is_tensor && has_writes(graph->block())) writes.inputs = true;
  }
  return writes;
}

bool is_dictionary_of_tensors(const c10::TypePtr& type) {
  auto dictionary = type->cast<c10::DictType>();
  return dictionary && dictionary->getKeyType()->kind() == c10::TypeKind::StringType &&
         dictionary->getValueType()->kind() == c10::TypeKind::TensorType;
}

void describe(NereidTorchModel& model) {
  const auto method = model.module.get_method("forward");
  const auto& arguments = method.function().getSchema().arguments();
  for (size_t index = 1; index < arguments.size(); ++index) {
    const auto& argument = arguments[index];
    model.arguments.push_back({argument.name(), argument.default_value().has_value()});
  }
  model.takes_dictionary = arguments.size() == 2 && is_dictionary_of_tensors(arguments[1].type());
  const auto writes = writes_of(model.module);
  model.writes_inputs = writes.inputs;
  model.writes_itself = writes.itself;
}

at::Device device_of(uint32_t place, int32_t device) {
  return place == NEREID_TORCH_CUDA ? at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device)) : at::Device(at::kCPU);
}

void set_switches(const NereidTorchRunOptions& options) {
  torch::jit::setGraphExecutorOptimize(options.optimize != NEREID_TORCH_OFF);
  if (options.jit_executor >= 0) torch::jit::getExecutorMode() = options.jit_executor == NEREID_TORCH_ON;
  if (options.jit_profiling >= 0) torch::jit::getProfilingMode() = options.jit_profiling == NEREID_TORCH_ON;
  if (options.tensor_fuser >= 0) torch::jit::setTensorExprFuserEnabled(options.tensor_fuser == NEREID_TORCH_ON);
  if (options.cudnn >= 0) at::globalContext().setUserEnabledCuDNN(options.cudnn == NEREID_TORCH_ON);
}

std::vector<c10::IValue> arguments_of(const NereidTorchModel& model, const NereidTorchInput* inputs, size_t count) {
  auto tensors = nereid::borrow(inputs, count);
  if (model.moves_inputs) {
    for (auto& tensor : tensors) tensor = tensor.to(model.device);
  }
  if (!model.takes_dictionary) return {tensors.begin(), tensors.end()};
  c10::Dict<std::string, at::Tensor> dictionary;
  for (size_t index = 0; index < count; ++index) dictionary.insert(inputs[index].key, tensors[index]);
  return {dictionary};
}

void add_output(NereidTorchResult& result, const c10::IValue& value) {
  if (!value.isTensor()) {
    const auto index = std::to_string(result.outputs.size());
    throw std::invalid_argument("output " + index + " of the model is a " + value.type()->str() + ", expected a Tensor");
  }
  result.outputs.emplace_back(nereid::readable(value.toTensor()));
}

// A tensor, or a tuple, list or dictionary of tensors.
NereidTorchResult* result_of(const c10::IValue& value) {
  auto result = std::make_unique<NereidTorchResult>();
  if (value.isTuple()) {
    for (const auto& element : value.toTupleRef().elements()) add_output(*result, element);
  } else if (value.isList()) {
    for (const c10::IValue& element : value.toListRef()) add_output(*result, element);
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) {
      if (!entry.key().isString()) throw std::invalid_argument("the model gives a dictionary whose keys are not strings");
      result->keys.push_back(entry.key().toStringRef());
      add_output(*result, entry.value());
    }
  } else {
    add_output(*result, value);
  }
  return result.release();
}

}  // namespace

extern "C" {

NereidTorchModel* nereid_torch_load(const char* path, uint32_t place, int32_t device, int32_t inference_mode,
                                    char** error) {
  return nereid::guarded(error, [&]() -> NereidTorchModel* {
    const auto target = device_of(place, device);
    const bool as_saved = place == NEREID_TORCH_AS_SAVED;
    c10::InferenceMode guard(inference_mode != NEREID_TORCH_OFF);
    auto module = as_saved ? torch::jit::load(path) : torch::jit::load(path, target);
    auto model = std::make_unique<NereidTorchModel>(NereidTorchModel{module, target, place == NEREID_TORCH_CUDA});
    describe(*model);
    return model.release();
  });
}

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
    uint64_t bytes = 0;
    for (const auto& tensor : model->module.parameters()) bytes += tensor.nbytes();
    for (const auto& tensor : model->module.buffers()) bytes += tensor.nbytes();
    return bytes;
  } catch (...) {
    return 0;
  }
}

NereidTorchResult* nereid_torch_run(NereidTorchModel* model, const NereidTorchRunOptions* options,
                                    const NereidTorchInput* inputs, size_t input_count, char** error) {
  return nereid::guarded(error, [&]() -> NereidTorchResult* {
    nereid::use_threads(options->threads);
    set_switches(*options);
    c10::InferenceMode inference(options->inference_mode != NEREID_TORCH_OFF);
    at::NoGradGuard no_gradients;
    auto arguments = arguments_of(*model, inputs, input_count);
    auto* result = result_of(model->module.forward(std::move(arguments)));
    if (options->empty_cache == NEREID_TORCH_ON && model->device.is_cuda()) {
      c10::getDeviceAllocator(at::kCUDA)->emptyCache();
    }
    return result;
  });
}

}  // extern "C"
