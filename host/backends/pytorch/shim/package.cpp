// AOTInductor packages: a model that was compiled to a library, in an archive.
//
// A package says neither the names of its arguments nor what it writes to, so that both kinds of writes are assumed; the
// copies that follow from that are also what gives arguments the alignment that compiled code relies on.
#include <caffe2/serialize/inline_container.h>
#include <dlfcn.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <stdexcept>

#include "device.h"
#include "guarded.h"
#include "model.h"

namespace {

using torch::inductor::AOTIModelPackageLoader;

constexpr char MODEL_NAME[] = "model";
constexpr char PACKAGE_FOLDER[] = "data/aotinductor/";

// An export that was not compiled is an archive too.
void refuse_other_archives(const std::string& path) {
  caffe2::serialize::PyTorchStreamReader archive(path);
  for (const auto& record : archive.getAllRecords()) {
    if (record.rfind(PACKAGE_FOLDER, 0) == 0) return;
  }
  throw std::invalid_argument(
      "it is an archive without compiled code, such as torch.export.save writes, which LibTorch cannot run: compile it with "
      "torch._inductor.aoti_compile_and_package");
}

// What the library in a package needs under the name `libtorch.so`, and a look at its arguments, which compiled code takes
// on trust unless it is told not to: a wrong shape would be read beyond its end.
void prepare() {
  static std::once_flag once;
  std::call_once(once, [] {
    setenv("AOTI_RUNTIME_CHECK_INPUTS", "1", /*overwrite=*/0);
    const auto path = nereid::library_folder() + "/libtorch.so";
    if (!dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL)) {
      throw std::runtime_error(std::string(dlerror()) + "; run `cargo xtask backend pytorch`");
    }
  });
}

// The number of tensors in the specification of what a model takes: JSON, in which a tensor is what has no type of its own.
size_t leaves(const std::string& specification) {
  constexpr char LEAF[] = "\"type\": null";
  size_t count = 0;
  for (auto at = specification.find(LEAF); at != std::string::npos; at = specification.find(LEAF, at + 1)) ++count;
  return count;
}

class Package final : public NereidTorchModel {
 public:
  Package(const std::string& path, at::Device device)
      : NereidTorchModel(device),
        loader_(path, MODEL_NAME, /*run_single_threaded=*/false, /*num_runners=*/1, device.index()),
        bytes_(std::filesystem::file_size(path)) {
    const auto specification = loader_.get_call_spec();
    const size_t count = specification.empty() ? 0 : leaves(specification.front());
    for (size_t index = 0; index < count; ++index) arguments.push_back({"INPUT__" + std::to_string(index), false});
  }

  c10::IValue forward(std::vector<at::Tensor> tensors, const nereid::Arguments&) override {
    // On the current stream. LibTorch says of a failure only where it called the package.
    try {
      return loader_.run(tensors);
    } catch (const std::exception& error) {
      if (std::string(error.what()).find("API call failed") == std::string::npos) throw;
      throw std::runtime_error(
          "the package's code failed, and wrote why to the standard error of the server; a request must have the shapes and types "
          "that the package was exported for");
    }
  }

  // The weights are most of a package.
  uint64_t weight_bytes() const override { return bytes_; }

 private:
  AOTIModelPackageLoader loader_;
  uint64_t bytes_;
};

}  // namespace

extern "C" {

int32_t nereid_torch_package_place(const char* path, char** error) {
  return nereid::guarded<int32_t>(error, -1, [&]() -> int32_t {
    refuse_other_archives(path);
    const auto metadata = AOTIModelPackageLoader::load_metadata_from_package(path, MODEL_NAME);
    const auto entry = metadata.find("AOTI_DEVICE_KEY");
    const std::string device = entry == metadata.end() ? "" : entry->second;
    if (device == "cpu") return NEREID_TORCH_CPU;
    if (device == "cuda") return NEREID_TORCH_CUDA;
    throw std::invalid_argument("it was compiled for '" + device + "', expected cpu or cuda");
  });
}

NereidTorchModel* nereid_torch_load_package(const char* path, uint32_t place, int32_t device, char** error) {
  return nereid::guarded<NereidTorchModel*>(error, nullptr, [&]() -> NereidTorchModel* {
    prepare();
    const bool is_cuda = place == NEREID_TORCH_CUDA;
    const auto target = nereid::device_at(is_cuda ? device : NEREID_TORCH_HOST);
    auto* model = new Package(path, target);
    if (is_cuda) nereid::synchronise(target);
    return model;
  });
}

}  // extern "C"
