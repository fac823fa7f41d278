// What the examples of new kernels share: running on every backend that is here, and comparing with what is expected.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "backends/cpu/transfer.h"
#include "backends/cuda/transfer.h"
#include "core/build.h"
#include "models/loader.h"
#include "runtime/generator.h"
#include "text/load_text.h"

namespace example {
using namespace infernum;

/// Why nothing runs on a GPU here; empty where one can be used.
inline std::string no_gpu() {
  if constexpr (has_cuda) return cuda_device_count() > 0 ? "" : "no NVIDIA GPU here";
  return "built without CUDA";
}

/// body(Device<Cpu>&, "cpu"), then body(Device<Cuda>&, "cuda") or a line that says that it was not run.
template <class F>
void on_every_backend(const std::string& what, const F& body) {
  Queue<Cpu> queue;
  Device<Cpu> device;
  device.queue = &queue;
  body(device, "cpu");
  if (const std::string reason = no_gpu(); !reason.empty()) {
    std::printf("not run: %s on cuda (%s)\n", what.c_str(), reason.c_str());
    return;
  }
  if constexpr (has_cuda) {
    Queue<Cuda> cuda_queue;
    Device<Cuda> cuda_device;
    cuda_device.queue = &cuda_queue;
    body(cuda_device, "cuda");
  }
}

inline std::vector<float> random_values(int64_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& v : values) v = normal(generator);
  return values;
}

/// How far a result of this type may be from the exact value, as a share of it: one rounding, and a few operations in float.
inline double allowed_error(DType dtype) { return dtype == DType::F32 ? 2e-6 : dtype == DType::F16 ? 0x1.1p-11 : 0x1.1p-8; }

/// Throws, naming the element, unless got[i] is within allowed * (|want[i]| + floor) of want[i] everywhere.
template <class T>
void expect_close(const std::string& what, const std::vector<float>& got, const std::vector<T>& want, double allowed, double floor) {
  check(got.size() == want.size(), "as many values as expected", what, got.size(), want.size());
  for (size_t i = 0; i < got.size(); i++) {
    const double wanted = want[i], error = std::abs(static_cast<double>(got[i]) - wanted);
    check(error <= allowed * (std::abs(wanted) + floor), "too far from what is expected", what, "element", i, got[i], wanted);
  }
}

/// Logits of every position of a text.
inline std::vector<float> logits_of(Model& model, const std::vector<int32_t>& ids) {
  const auto n = static_cast<int32_t>(ids.size());
  const int64_t blocks = (n + block_tokens - 1) / block_tokens, groups = static_cast<int64_t>(model.info().groups.size());
  HostBatch batch;
  batch.ids = ids;
  batch.positions.resize(ids.size());
  std::iota(batch.positions.begin(), batch.positions.end(), 0);
  batch.out_rows = batch.positions;
  batch.query_start = {0, n};
  std::vector<int32_t> table(static_cast<size_t>(blocks));
  std::iota(table.begin(), table.end(), 0);
  batch.block_tables.assign(static_cast<size_t>(groups), table);
  model.allocate_cache(std::vector<int64_t>(static_cast<size_t>(groups), blocks));
  return model.forward(batch);
}

/// Logits of the CPU and of the GPU, if there is one, must agree; products and sums of the two round differently.
inline void expect_same_model_on_cuda(const Checkpoint& checkpoint, const Family& family, const std::vector<int32_t>& ids) {
  const std::string what = std::string(family.name) + " as a whole";
  if (const std::string reason = no_gpu(); !reason.empty()) {
    std::printf("not run: %s on cuda (%s)\n", what.c_str(), reason.c_str());
    return;
  }
  ModelOptions options;
  const auto want = logits_of(*load_model(checkpoint, family, options), ids);
  options.place.cuda = true;
  const auto got = logits_of(*load_model(checkpoint, family, options), ids);
  const float largest = *std::max_element(want.begin(), want.end(), [](float a, float b) { return std::abs(a) < std::abs(b); });
  expect_close(what + " on cuda", got, want, 1e-3, static_cast<double>(std::abs(largest)));
  std::printf("%s: cuda gives the cpu's logits\n", what.c_str());
}

/// Prints how the model goes on.
inline void tell(Model& model, const Tokenizer& tokenizer, const std::string& beginning) {
  GenerationRequest request;
  request.prompt = tokenizer.encode(beginning);
  request.max_tokens = 40;
  request.sampling.temperature = 0;
  const auto answer = Generator(model, tokenizer, {.cache_tokens = 256}).run({request});
  std::printf("%s: %s%s\n", model.info().family.c_str(), beginning.c_str(), answer.front().text.c_str());
}

}  // namespace example
