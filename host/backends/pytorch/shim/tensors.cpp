// Tensors over the caller's memory, and outputs.
//
// On a device every argument that is not used in place is gathered as bytes: parts need not be aligned, and a BOOL other
// than 0 and 1 is made one there.
#include "tensors.h"

#include <stdexcept>

#include "device.h"
#include "guarded.h"

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

// Outputs from this size on are left on their device even where the caller takes none there: it has page-locked memory, to
// which the copy is several times as fast. For smaller ones the copy in this stream costs less than another wait. LibTorch's
// own page-locked memory is no choice: giving it back is recorded in its stream, which throws out of a destructor, and so
// ends the process, once the device is lost.
constexpr size_t LEFT_BYTES_MIN = size_t{64} << 10;

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

at::Tensor dense(const at::Tensor& tensor) {
  if (!tensor.defined()) throw std::invalid_argument("an output is an undefined tensor");
  if (tensor.layout() != at::kStrided) throw std::invalid_argument("an output is a sparse tensor, which cannot be served");
  if (tensor.is_quantized()) throw std::invalid_argument("an output is a quantized tensor, which cannot be served");
  return tensor.contiguous().resolve_conj().resolve_neg();
}

}  // namespace

// === Arguments ===

void Arguments::own_all() {
  size_t parts = 0;
  for (size_t index = 0; index < count_; ++index) parts += inputs_[index].part_count;
  owned_.reserve(parts);
  for (size_t index = 0; index < count_; ++index) {
    for (size_t part = 0; part < inputs_[index].part_count; ++part) owned_.emplace_back(&inputs_[index].parts[part]);
  }
}

std::vector<at::Tensor> Arguments::on(at::Device device) {
  std::vector<at::Tensor> tensors;
  tensors.reserve(count_);
  auto next = owned_.begin();
  for (size_t index = 0; index < count_; ++index) {
    std::vector<Owned*> parts;
    for (size_t part = 0; part < inputs_[index].part_count; ++part) parts.push_back(&*next++);
    tensors.push_back(argument(inputs_[index], parts, device));
  }
  return tensors;
}

bool Arguments::is_open(const at::Tensor& tensor) const {
  if (tensor.numel() == 0) return false;
  const auto* address = static_cast<const char*>(tensor.const_data_ptr());
  for (const auto& each : owned_) {
    const auto* start = static_cast<const char*>(each.part->data);
    const bool is_here = each.part->device == ordinal_of(tensor.device());
    if (is_here && each.part->use == NEREID_TORCH_OPEN && address >= start && address < start + each.part->length_bytes) {
      return true;
    }
  }
  return false;
}

at::Tensor Arguments::over(Owned& owned, at::IntArrayRef shape, at::ScalarType type) {
  const auto& part = *owned.part;
  const auto device = device_at(part.device);
  auto release = [owner = part.owner, release = part.release](void*) { release(owner); };
  auto tensor = at::from_blob(part.data, shape, release, at::TensorOptions(type).device(device), device);
  owned.is_taken = true;
  held_.push_back(tensor);
  return tensor;
}

at::Tensor Arguments::argument(const NereidTorchInput& input, at::ArrayRef<Owned*> parts, at::Device device) {
  const auto shape = at::IntArrayRef(input.dimensions, input.rank);
  const auto type = scalar_type(input.type);
  // LibTorch does not promise to release memory that it has no use for.
  if (c10::multiply_integers(shape) == 0) return at::empty(shape, at::TensorOptions(type).device(device));
  const bool is_one = parts.size() == 1 && device_at(parts[0]->part->device) == device;
  const bool is_copied = parts.empty() || parts[0]->part->use == NEREID_TORCH_COPY || (device.is_cuda() && type == at::kBool);
  if (is_one && !is_copied) return over(*parts[0], shape, type);
  const auto bytes = gathered(parts, device);
  return (type == at::kBool ? bytes.ne(0) : bytes.view(type)).view(shape);
}

at::Tensor Arguments::gathered(at::ArrayRef<Owned*> parts, at::Device device) {
  int64_t total = 0;
  for (const auto* part : parts) total += static_cast<int64_t>(part->part->length_bytes);
  auto bytes = at::empty({total}, at::TensorOptions(at::kByte).device(device));
  int64_t start = 0;
  for (auto* part : parts) {
    const auto length = static_cast<int64_t>(part->part->length_bytes);
    if (length == 0) continue;
    bytes.narrow(0, start, length).copy_(over(*part, {length}, at::kByte), /*non_blocking=*/true);
    start += length;
  }
  return bytes;
}

// === Outputs ===

NereidTorchTensor delivered(const at::Tensor& tensor, const Delivery& delivery) {
  auto output = dense(tensor);
  // Another device than the model's is waited for by this copy.
  if (delivery.device.is_cuda() && output.is_cuda()) output = output.to(delivery.device);
  if (!output.is_cuda()) return {std::move(output)};
  const bool is_left = delivery.keeps_on_device || output.nbytes() >= LEFT_BYTES_MIN;
  if (!delivery.device.is_cuda() || !is_left) return {output.to(at::kCPU)};
  const bool may_change = delivery.arguments.is_open(output) || (delivery.copies && output.is_alias_of(tensor));
  return {may_change ? output.clone() : std::move(output)};
}

}  // namespace nereid

extern "C" {

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
  *view = {held.const_data_ptr(), held.sizes().data(), held.sizes().size(), nereid::type_number(held.scalar_type()),
           nereid::ordinal_of(held.device())};
}

void nereid_torch_free_tensor(NereidTorchTensor* tensor) {
  delete tensor;
}

}  // extern "C"
