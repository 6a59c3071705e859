// LibTorch's part for CUDA, which is looked for when the process runs; streams.
#include <ATen/Context.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <utility>

#include "device.h"
#include "guarded.h"

namespace nereid {

namespace {

// Without links, so that the library finds what it needs beside itself.
std::string real_path(const std::string& path) {
  std::unique_ptr<char, decltype(&free)> real(realpath(path.c_str(), nullptr), &free);
  if (!real) throw std::runtime_error(path + " does not exist");
  return real.get();
}

c10::impl::VirtualGuardImpl cuda() {
  return c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA);
}

}  // namespace

void synchronise(at::Device device) {
  cuda().synchronizeDevice(device.index());
}

std::string library_folder() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<const void*>(&at::globalContext), &info)) {
    throw std::runtime_error("the loader does not say where LibTorch is");
  }
  const std::string path = info.dli_fname;
  return path.substr(0, path.rfind('/'));
}

Finish::~Finish() {
  try {
    wait();
  } catch (...) {
    // What passes already says more; a device that cannot be waited for reads no more.
  }
}

void Finish::wait() {
  const auto* stream = std::exchange(stream_, nullptr);
  if (stream) cuda().synchronizeStream(stream->stream);
}

}  // namespace nereid

extern "C" {

int32_t nereid_torch_load_cuda(char** error) {
  return nereid::guarded<int32_t>(error, -1, [] {
    const auto path = nereid::real_path(nereid::library_folder() + "/libtorch_cuda.so");
    if (!dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL)) throw std::runtime_error(dlerror());
    at::globalContext().lazyInitDevice(at::kCUDA);
    return static_cast<int32_t>(nereid::cuda().deviceCount());
  });
}

NereidTorchStream* nereid_torch_new_stream(int32_t device, char** error) {
  return nereid::guarded<NereidTorchStream*>(error, nullptr, [&] {
    return new NereidTorchStream{nereid::cuda().getNewStream(nereid::device_at(device))};
  });
}

void nereid_torch_free_stream(NereidTorchStream* stream) {
  delete stream;
}

int32_t nereid_torch_synchronise(int32_t device, char** error) {
  return nereid::guarded<int32_t>(error, -1, [&] {
    nereid::synchronise(nereid::device_at(device));
    return 0;
  });
}

}  // extern "C"
