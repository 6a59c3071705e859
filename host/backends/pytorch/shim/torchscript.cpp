// TorchScript files: loading, and what `forward` looks like.
//
// Before a model is executed its graph is asked two questions, since the answers decide what may be shared: does it write to
// its arguments (then they are copied first), and does it write to itself (then every instance has its own). What cannot
// be seen through, such as a call of an interface or a fork, is taken for both.
#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/script.h>

#include "device.h"
#include "guarded.h"
#include "model.h"

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

class ScriptedModel final : public NereidTorchModel {
 public:
  ScriptedModel(torch::jit::Module module, at::Device device) : NereidTorchModel(device), module_(std::move(module)) {
    describe();
  }

  c10::IValue forward(std::vector<at::Tensor> tensors, const nereid::Arguments& arguments) override {
    if (!takes_dictionary) return module_.forward({tensors.begin(), tensors.end()});
    c10::Dict<std::string, at::Tensor> dictionary;
    for (size_t index = 0; index < tensors.size(); ++index) dictionary.insert(arguments.key(index), tensors[index]);
    return module_.forward({dictionary});
  }

  uint64_t weight_bytes() const override {
    uint64_t bytes = 0;
    for (const auto& tensor : module_.parameters()) bytes += tensor.nbytes();
    for (const auto& tensor : module_.buffers()) bytes += tensor.nbytes();
    return bytes;
  }

 private:
  void describe() {
    const auto method = module_.get_method("forward");
    const auto& schema = method.function().getSchema().arguments();
    for (size_t index = 1; index < schema.size(); ++index) {
      arguments.push_back({schema[index].name(), schema[index].default_value().has_value()});
    }
    takes_dictionary = schema.size() == 2 && is_dictionary_of_tensors(schema[1].type());
    const auto writes = writes_of(module_);
    writes_inputs = writes.inputs;
    writes_itself = writes.itself;
  }

  torch::jit::Module module_;
};

}  // namespace

extern "C" NereidTorchModel* nereid_torch_load(const char* path, uint32_t place, int32_t device, int32_t inference_mode,
                                               char** error) {
  return nereid::guarded<NereidTorchModel*>(error, nullptr, [&] {
    const bool is_cuda = place == NEREID_TORCH_CUDA;
    const auto target = nereid::device_at(is_cuda ? device : NEREID_TORCH_HOST);
    c10::InferenceMode guard(inference_mode != NEREID_TORCH_OFF);
    auto module = place == NEREID_TORCH_AS_SAVED ? torch::jit::load(path) : torch::jit::load(path, target);
    // Executions have streams of their own, which would not wait for the weights.
    if (is_cuda) nereid::synchronise(target);
    return new ScriptedModel(std::move(module), target);
  });
}
