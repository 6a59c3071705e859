// What concerns the process and no model: versions, texts, threads.
#include <ATen/Parallel.h>
#include <torch/version.h>

#include "guarded.h"

extern "C" {

int32_t nereid_torch_interface() {
  return NEREID_TORCH_INTERFACE;
}

const char* nereid_torch_version() {
  return TORCH_VERSION;
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

}  // extern "C"
