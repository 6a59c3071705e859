// Writes TorchScript files without PyTorch's Python side, whose wheels are ten times those that serving needs.
//
//     make_models WEIGHTS FOLDER
//
// WEIGHTS is what make_models.py wrote: per tensor its name, its rank, its dimensions and its numbers, as text. FOLDER gets
// the `.pt` files. Each model is a few lines of TorchScript; what they are for stands beside them.
#include <torch/script.h>

#include <fstream>
#include <iostream>
#include <map>
#include <string>

namespace {

using Weights = std::map<std::string, at::Tensor>;

Weights read_weights(const char* path) {
  std::ifstream file(path);
  Weights weights;
  std::string name;
  size_t rank = 0;
  while (file >> name >> rank) {
    std::vector<int64_t> shape(rank);
    for (auto& extent : shape) file >> extent;
    auto tensor = at::empty(shape, at::kFloat);
    for (int64_t index = 0; index < tensor.numel(); ++index) file >> tensor.data_ptr<float>()[index];
    weights.emplace(name, tensor);
  }
  return weights;
}

void save(const std::string& folder, const std::string& name, const std::string& source, const Weights& weights = {}) {
  torch::jit::Module module(name);
  for (const auto& [key, tensor] : weights) module.register_parameter(key, tensor, false);
  if (name == "remembers") module.register_buffer("last", at::zeros({1, 2}));
  if (name == "normalises") module.register_buffer("seen", at::zeros({1}, at::kLong));
  if (name == "counts") module.register_buffer("calls", at::zeros({1}, at::kLong));
  module.register_attribute("training", c10::BoolType::get(), false);
  module.define(source);
  module.save(folder + "/" + name + ".pt");
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    std::cerr << "make_models WEIGHTS FOLDER\n";
    return 1;
  }
  const std::string folder = arguments[2];
  // scikit-learn's MLPClassifier, layer by layer.
  save(folder, "digits_mlp", R"(
def forward(self, pixels):
    hidden = torch.relu(torch.matmul(pixels / 16.0, self.w0) + self.b0)
    return torch.softmax(torch.matmul(hidden, self.w1) + self.b1, 1)
)", read_weights(arguments[1]));
  // A tensor in, the same tensor out: every element type, and an output that shares memory with the request.
  save(folder, "identity", R"(
def forward(self, x):
    return x
)");
  // Two arguments with names of their own, a tuple of two.
  save(folder, "add_sub", R"(
def forward(self, left, right):
    return (left + right, left - right)
)");
  // A dictionary each way.
  save(folder, "dictionaries", R"(
def forward(self, tensors: Dict[str, Tensor]) -> Dict[str, Tensor]:
    return {"sum": tensors["a"] + tensors["b"], "difference": tensors["a"] - tensors["b"]}
)");
  // A list of tensors; the second argument may be left out.
  save(folder, "lists", R"(
def forward(self, x, factor: Optional[Tensor] = None) -> List[Tensor]:
    if factor is not None:
        x = x * factor
    return [x, x + x]
)");
  // Writes to its argument.
  save(folder, "in_place", R"(
def forward(self, x):
    x.add_(1)
    return x
)");
  // Keeps its argument and answers with the one before: it has a state, and holds on to what it was given.
  save(folder, "remembers", R"(
def forward(self, x):
    before = self.last
    self.last = x
    return before
)");
  // Counts its executions in a buffer, in place.
  save(folder, "counts", R"(
def forward(self, x):
    self.calls.add_(1)
    return x * 0 + self.calls
)");
  // Rows in, one row out: what is not a batch.
  save(folder, "loses_rows", R"(
def forward(self, x):
    return x.sum(0, True)
)");
  // Not contiguous: rows of a transposed tensor.
  save(folder, "transposes", R"(
def forward(self, x):
    return x.transpose(1, 2)
)");
  // What cannot be served.
  save(folder, "text_out", R"(
def forward(self, x):
    return (x, "words")
)");
  save(folder, "complex_out", R"(
def forward(self, x):
    return torch.complex(x, x)
)");
  // Says no by itself.
  save(folder, "raises", R"(
def forward(self, x):
    assert bool(x.sum() >= 0), "the sum is negative"
    return x
)");
  // Would write to itself, were it still being trained: what every scripted batch normalisation looks like.
  save(folder, "normalises", R"(
def forward(self, x):
    if self.training:
        self.seen.add_(1)
    return x - 1
)");
  // For examples/mixed_ensemble: how undecided probabilities are, in bits.
  save(folder, "doubt", R"(
def forward(self, probabilities):
    bits = torch.log2(torch.clamp(probabilities, 1e-12, 1.0))
    return -(probabilities * bits).sum(1, True)
)");
  return 0;
}
