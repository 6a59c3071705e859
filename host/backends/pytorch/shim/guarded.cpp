// Tensors and texts on their way across the line; also what concerns the process and no model.
#include "guarded.h"

#include <ATen/Parallel.h>
#include <torch/cuda.h>
#include <torch/version.h>

namespace nereid {

namespace {

struct TypePair {
  uint32_t number;
  at::ScalarType type;
};

constexpr TypePair TYPES[] = {
    {NEREID_TORCH_BOOL, at::kBool},     {NEREID_TORCH_UINT8, at::kByte},    {NEREID_TORCH_UINT16, at::kUInt16},
    {NEREID_TORCH_UINT32, at::kUInt32}, {NEREID_TORCH_UINT64, at::kUInt64}, {NEREID_TORCH_INT8, at::kChar},
    {NEREID_TORCH_INT16, at::kShort},   {NEREID_TORCH_INT32, at::kInt},     {NEREID_TORCH_INT64, at::kLong},
    {NEREID_TORCH_FP16, at::kHalf},     {NEREID_TORCH_FP32, at::kFloat},    {NEREID_TORCH_FP64, at::kDouble},
    {NEREID_TORCH_BF16, at::kBFloat16},
};

// Gives memory back on the way out, unless a tensor has taken that over.
struct Owned {
  const NereidTorchInput* input;
  bool is_taken = false;
  explicit Owned(const NereidTorchInput* input) : input(input) {}
  Owned(Owned&& other) noexcept : input(other.input), is_taken(other.is_taken) { other.is_taken = true; }
  Owned(const Owned&) = delete;
  ~Owned() {
    if (!is_taken) input->release(input->owner);
  }
};

}  // namespace

at::ScalarType scalar_type(uint32_t type) {
  for (const auto& pair : TYPES) {
    if (pair.number == type) return pair.type;
  }
  throw std::invalid_argument("an element type that LibTorch does not have");
}

uint32_t type_number(at::ScalarType type) {
  for (const auto& pair : TYPES) {
    if (pair.type == type) return pair.number;
  }
  return NEREID_TORCH_OTHER;
}

std::vector<at::Tensor> borrow(const NereidTorchInput* inputs, size_t count) {
  std::vector<Owned> owned;
  owned.reserve(count);
  for (size_t index = 0; index < count; ++index) owned.emplace_back(&inputs[index]);
  std::vector<at::Tensor> tensors;
  tensors.reserve(count);
  for (auto& each : owned) {
    const auto& input = *each.input;
    auto release = [owner = input.owner, release = input.release](void*) { release(owner); };
    auto shape = at::IntArrayRef(input.dimensions, input.rank);
    if (c10::multiply_integers(shape) == 0) {
      // LibTorch does not promise to release memory that it has no use for.
      tensors.push_back(at::empty(shape, at::TensorOptions(scalar_type(input.type))));
      continue;
    }
    auto tensor = at::from_blob(input.data, shape, release, at::TensorOptions(scalar_type(input.type)));
    each.is_taken = true;
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

at::Tensor readable(const at::Tensor& tensor) {
  if (!tensor.defined()) throw std::invalid_argument("an output is an undefined tensor");
  if (tensor.layout() != at::kStrided) throw std::invalid_argument("an output is a sparse tensor, which cannot be served");
  if (tensor.is_quantized()) throw std::invalid_argument("an output is a quantized tensor, which cannot be served");
  return tensor.to(at::kCPU).contiguous().resolve_conj().resolve_neg();
}

void use_threads(int32_t threads) {
  if (at::get_num_threads() != threads) at::set_num_threads(threads);
}

}  // namespace nereid

extern "C" {

int32_t nereid_torch_interface() {
  return NEREID_TORCH_INTERFACE;
}

const char* nereid_torch_version() {
  return TORCH_VERSION;
}

int32_t nereid_torch_cuda_devices() {
  try {
    return at::hasCUDA() ? static_cast<int32_t>(torch::cuda::device_count()) : 0;
  } catch (...) {
    return 0;
  }
}

void nereid_torch_free_text(char* text) {
  free(text);
}

int32_t nereid_torch_set_interop_threads(int32_t threads) {
  static const int32_t in_force = [threads] {
    try {
      at::set_num_interop_threads(threads);
    } catch (...) {
      // The pool is at work already.
    }
    return static_cast<int32_t>(at::get_num_interop_threads());
  }();
  return in_force;
}

size_t nereid_torch_output_count(const NereidTorchResult* result) {
  return result->outputs.size();
}

const char* nereid_torch_output_key(const NereidTorchResult* result, size_t index) {
  return index < result->keys.size() ? result->keys[index].c_str() : nullptr;
}

NereidTorchTensor* nereid_torch_take_output(NereidTorchResult* result, size_t index) {
  if (index >= result->outputs.size() || !result->outputs[index]) return nullptr;
  auto* taken = new NereidTorchTensor{std::move(*result->outputs[index])};
  result->outputs[index].reset();
  return taken;
}

void nereid_torch_free_result(NereidTorchResult* result) {
  delete result;
}

void nereid_torch_view(const NereidTorchTensor* tensor, NereidTorchView* view) {
  const auto& held = tensor->tensor;
  *view = {held.const_data_ptr(), held.sizes().data(), held.sizes().size(), nereid::type_number(held.scalar_type())};
}

void nereid_torch_free_tensor(NereidTorchTensor* tensor) {
  delete tensor;
}

}  // extern "C"
