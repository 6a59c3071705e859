// LibTorch alone, in process: what a TorchScript model can do without a server around it.
//
// `raw_torch make FILE LAYERS` writes a model of so many layers of 1024 x 1024, each with its own weights of 4 MiB.
// `raw_torch run FILE SECONDS BATCH...` executes a model of [batch, 1024] floats over and over on one thread, as the server's
// instances do, and prints a line of JSON per batch size, as `raw_onnx` does.
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <torch/script.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

namespace {

constexpr int64_t WIDTH = 1024;
// Runs before anything is measured: the executor of TorchScript watches the first ones.
constexpr int WARMUP_RUNS = 5;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void make(const std::string& file, int layers) {
  torch::jit::Module module("layers");
  std::string code = "def forward(self, INPUT__0):\n    x = INPUT__0\n";
  for (int layer = 0; layer < layers; ++layer) {
    const auto number = std::to_string(layer);
    // As large as keeps the values of all layers between denormal numbers and one.
    const auto weight = torch::sin(torch::arange(WIDTH * WIDTH) * (0.7 + 0.1 * layer)).reshape({WIDTH, WIDTH}) / 32;
    module.register_parameter("weight" + number, weight, false);
    code += "    x = torch.tanh(torch.matmul(x, self.weight" + number + ") + 0.5)\n";
  }
  module.define(code + "    return x\n");
  module.eval();
  module.save(file);
}

void run(torch::jit::Module& module, double seconds, int64_t batch) {
  const auto input = torch::remainder(torch::arange(batch * WIDTH, torch::kFloat), 17).div(17).reshape({batch, WIDTH});
  for (int count = 0; count < WARMUP_RUNS; ++count) module.forward({input});
  std::vector<double> runs;
  const auto cpu = std::clock();
  const auto start = Clock::now();
  while (seconds_since(start) < seconds) {
    const auto begun = Clock::now();
    module.forward({input});
    runs.push_back(seconds_since(begun));
  }
  const double rows = static_cast<double>(runs.size()) * static_cast<double>(batch);
  const double elapsed = seconds_since(start);
  const double cpu_us = static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC * 1e6;
  std::nth_element(runs.begin(), runs.begin() + runs.size() / 2, runs.end());
  std::printf("{\"threads\":1,\"batch\":%ld,\"rows_per_second\":%.1f,\"milliseconds\":%.4f,\"cpu_us_per_row\":%.1f}\n",
              static_cast<long>(batch), rows / elapsed, runs[runs.size() / 2] * 1e3, cpu_us / rows);
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** words) {
  const std::vector<std::string> arguments(words + 1, words + count);
  if (arguments.size() == 3 && arguments[0] == "make") {
    make(arguments[1], std::stoi(arguments[2]));
    return 0;
  }
  if (arguments.size() < 4 || arguments[0] != "run") {
    std::fprintf(stderr, "expected make FILE LAYERS, or run FILE SECONDS BATCH...\n");
    return 2;
  }
  at::set_num_threads(1);
  c10::InferenceMode guard;
  auto module = torch::jit::load(arguments[1]);
  for (size_t index = 3; index < arguments.size(); ++index) run(module, std::stod(arguments[2]), std::stol(arguments[index]));
}
