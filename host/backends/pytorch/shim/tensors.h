// Tensors on their way across the line: arguments over memory of the caller's, outputs where the caller can use them.
#ifndef NEREID_TORCH_TENSORS_H
#define NEREID_TORCH_TENSORS_H

#include <ATen/ATen.h>

#include <optional>
#include <string>
#include <vector>

#include "nereid_torch.h"

struct NereidTorchTensor {
  at::Tensor tensor;
};

struct NereidTorchResult {
  std::vector<std::optional<NereidTorchTensor>> outputs;
  // As many as outputs, or none.
  std::vector<std::string> keys;
};

namespace nereid {

// The memory that the caller gave for one execution. It is given back when the last tensor over it is gone, and not
// before this is: a device may read it until it was waited for.
class Arguments {
 public:
  Arguments(const NereidTorchInput* inputs, size_t count) : inputs_(inputs), count_(count) { own_all(); }
  Arguments(const Arguments&) = delete;

  // The arguments on `device`; on a CUDA device for the current stream.
  std::vector<at::Tensor> on(at::Device device);
  const char* key(size_t index) const { return inputs_[index].key; }
  // Whether a tensor lies where others may write later.
  bool is_open(const at::Tensor& tensor) const;

 private:
  // Gives memory back on the way out, unless a tensor has taken that over.
  struct Owned {
    const NereidTorchPart* part;
    bool is_taken = false;
    explicit Owned(const NereidTorchPart* part) : part(part) {}
    Owned(Owned&& other) noexcept : part(other.part), is_taken(other.is_taken) { other.is_taken = true; }
    Owned(const Owned&) = delete;
    ~Owned() {
      if (!is_taken) part->release(part->owner);
    }
  };

  void own_all();
  at::Tensor over(Owned& owned, at::IntArrayRef shape, at::ScalarType type);
  at::Tensor argument(const NereidTorchInput& input, at::ArrayRef<Owned*> parts, at::Device device);
  at::Tensor gathered(at::ArrayRef<Owned*> parts, at::Device device);

  const NereidTorchInput* inputs_;
  size_t count_;
  std::vector<Owned> owned_;
  // Keeps memory that a model has let go of, but a device may not have read yet.
  std::vector<at::Tensor> held_;
};

// Where outputs go.
struct Delivery {
  at::Device device;
  bool keeps_on_device;
  bool copies;
  const Arguments& arguments;
};

// The tensor where the caller can read it, dense and in its order.
NereidTorchTensor delivered(const at::Tensor& tensor, const Delivery& delivery);

}  // namespace nereid

#endif
