// What both kinds of model share: the line at which exceptions end, tensors over memory of the caller's, and outputs.
//
// Every entry that can fail goes through `guarded`: whatever is thrown becomes a text and a null.
#ifndef NEREID_TORCH_GUARDED_H
#define NEREID_TORCH_GUARDED_H

#include <ATen/ATen.h>

#include <cstring>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "nereid_torch.h"

struct NereidTorchTensor {
  at::Tensor tensor;
};

struct NereidTorchResult {
  std::vector<std::optional<at::Tensor>> outputs;
  // As many as outputs, or none.
  std::vector<std::string> keys;
};

namespace nereid {

inline char* text_of(const std::string& text) {
  return strdup(text.c_str());
}

// The result of `work`, or null and the text of what it threw.
template <typename Work>
auto guarded(char** error, Work work) -> decltype(work()) {
  try {
    return work();
  } catch (const c10::Error& thrown) {
    *error = text_of(thrown.what_without_backtrace());
  } catch (const std::exception& thrown) {
    *error = text_of(thrown.what());
  } catch (...) {
    *error = text_of("LibTorch threw something that is no exception");
  }
  return nullptr;
}

at::ScalarType scalar_type(uint32_t type);
uint32_t type_number(at::ScalarType type);

// Tensors over the caller's memory, which is given back when the last of them is gone, also when this throws.
std::vector<at::Tensor> borrow(const NereidTorchInput* inputs, size_t count);

// The tensor where the host can read it: dense, in its order, on the CPU.
at::Tensor readable(const at::Tensor& tensor);

// Sets the threads within operators for the calling thread.
void use_threads(int32_t threads);

}  // namespace nereid

#endif
