// The line at which exceptions end: every entry that can fail goes through `guarded`, and whatever is thrown becomes a text.
#ifndef NEREID_TORCH_GUARDED_H
#define NEREID_TORCH_GUARDED_H

#include <c10/util/Exception.h>

#include <cstring>
#include <exception>
#include <string>

#include "nereid_torch.h"

namespace nereid {

inline char* text_of(const std::string& text) {
  return strdup(text.c_str());
}

// The result of `work`, or `failed` and the text of what it threw.
template <typename Result, typename Work>
Result guarded(char** error, Result failed, Work work) {
  try {
    return work();
  } catch (const c10::Error& thrown) {
    *error = text_of(thrown.what_without_backtrace());
  } catch (const std::exception& thrown) {
    *error = text_of(thrown.what());
  } catch (...) {
    *error = text_of("LibTorch threw something that is no exception");
  }
  return failed;
}

}  // namespace nereid

#endif
