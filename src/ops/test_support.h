// What op tests share: a CPU device of a given instruction set, random values, poisoned memory.
#pragma once
#include <random>
#include <vector>

#include "backends/cpu/transfer.h"

namespace infernum::test {

inline std::vector<float> random_values(int64_t n, int seed, float scale = 1) {
  std::mt19937 rng(static_cast<unsigned>(seed));
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> v(static_cast<size_t>(n));
  for (float& x : v) x = normal(rng);
  return v;
}

/// Every instruction set that this processor can run.
inline std::vector<Isa> isa_levels() {
  std::vector<Isa> levels;
  for (Isa isa : {Isa::Portable, Isa::Avx2, Isa::Avx512})
    if (isa <= best_isa()) levels.push_back(isa);
  return levels;
}

struct CpuFixture {
  Queue<Cpu> queue;
  Device<Cpu> device;
  explicit CpuFixture(Isa isa = best_isa(), int threads = 2) : queue(threads, isa) { device.queue = &queue; }

  template <Layout L>
  Tensor<Cpu, L> tensor(const Shape& shape, DType dtype, const std::vector<float>& values) {
    return relabel<L>(from_host(device, shape, dtype, values));
  }
  template <Layout L = Full>
  Tensor<Cpu, L> random(const Shape& shape, DType dtype, int seed) {
    return tensor<L>(shape, dtype, random_values(shape.elements(), seed));
  }
  Tensor<Cpu> filled(const Shape& shape, DType dtype, float value) {
    return from_host(device, shape, dtype, std::vector<float>(static_cast<size_t>(shape.elements()), value));
  }
  Tensor<Cpu> ints(const std::vector<int32_t>& values) { return from_host(device, {static_cast<int64_t>(values.size())}, values); }
};

}  // namespace infernum::test
