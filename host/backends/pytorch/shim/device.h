// CUDA devices as LibTorch's interfaces for any device show them, so that this is compiled without CUDA.
#ifndef NEREID_TORCH_DEVICE_H
#define NEREID_TORCH_DEVICE_H

#include <c10/core/Stream.h>

#include <string>

#include "nereid_torch.h"

struct NereidTorchStream {
  c10::Stream stream;
};

namespace nereid {

inline at::Device device_at(int32_t ordinal) {
  return ordinal == NEREID_TORCH_HOST ? at::Device(at::kCPU)
                                      : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(ordinal));
}

inline int32_t ordinal_of(at::Device device) {
  return device.is_cuda() ? static_cast<int32_t>(device.index()) : NEREID_TORCH_HOST;
}

// Waits for all that a CUDA device does.
void synchronise(at::Device device);

// The folder that LibTorch was loaded from.
std::string library_folder();

// Waits for the stream, if there is one, when it is told to or at the end of the block: memory that the device may still
// read must not be given back when an exception passes.
class Finish {
 public:
  explicit Finish(const NereidTorchStream* stream) : stream_(stream) {}
  Finish(const Finish&) = delete;
  ~Finish();
  void wait();

 private:
  const NereidTorchStream* stream_;
};

}  // namespace nereid

#endif
