// What the kinds of model have in common for `run.cpp`: what they take, and that they compute.
#ifndef NEREID_TORCH_MODEL_H
#define NEREID_TORCH_MODEL_H

#include <ATen/core/ivalue.h>

#include <string>
#include <vector>

#include "nereid_torch.h"
#include "tensors.h"

struct NereidTorchModel {
  struct Argument {
    std::string name;
    bool has_default;
  };

  explicit NereidTorchModel(at::Device device) : device(device) {}
  virtual ~NereidTorchModel() = default;

  // A tensor, or a tuple, list or dictionary of tensors.
  virtual c10::IValue forward(std::vector<at::Tensor> tensors, const nereid::Arguments& arguments) = 0;
  // Bytes of parameters and buffers.
  virtual uint64_t weight_bytes() const = 0;

  // Where its arguments are given to it.
  at::Device device;
  bool takes_dictionary = false;
  // What cannot be seen is taken to be so.
  bool writes_inputs = true;
  bool writes_itself = true;
  std::vector<Argument> arguments;
};

#endif
