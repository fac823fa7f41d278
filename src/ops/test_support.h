// What op tests share: a CPU device of a given instruction set, random values, poisoned memory.
#pragma once
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <utility>
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

/// Rows and columns around the widths of vectors and tasks.
inline std::vector<std::pair<int64_t, int64_t>> odd_sizes() {
  return {{1, 1}, {1, 64}, {7, 33}, {5, 15}, {2, 17}, {130, 16}, {3, 4096}, {33, 5120}};
}

/// Largest relative error of rounding to the type; for F32 that of a few operations.
inline double unit_roundoff(DType dtype) { return dtype == DType::F32 ? 1e-6 : dtype == DType::F16 ? 0x1.03p-11 : 0x1.03p-8; }

/// What the action's Error says.
inline std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

/// Fills memory of a queue's device.
inline void copy_bytes(Queue<Cpu>&, void* to, const std::vector<std::byte>& bytes) { std::memcpy(to, bytes.data(), bytes.size()); }

/// The next `count` tensors of this size come out of the pool full of NaN, or of -1 for integers.
inline void fill_with_ones(Queue<Cpu>&, void* memory, size_t bytes) { std::memset(memory, 0xff, bytes); }
template <class B>
void poison(Queue<B>& queue, const Shape& shape, DType dtype, int count = 4) {
  std::vector<std::shared_ptr<void>> held;
  const int64_t bytes = bytes_of(dtype, shape.elements());
  for (int i = 0; i < count; i++) fill_with_ones(queue, held.emplace_back(queue.memory.allocate(bytes)).get(), static_cast<size_t>(bytes));
}

/// Tensors on a device of backend B.
template <class B>
struct Fixture {
  Queue<B> queue;
  Device<B> device;
  template <class... A>
  explicit Fixture(A... arguments) : queue(arguments...) {
    device.queue = &queue;
  }

  template <Layout L>
  Tensor<B, L> tensor(const Shape& shape, DType dtype, const std::vector<float>& values) {
    return relabel<L>(from_host(device, shape, dtype, values));
  }
  template <Layout L = Full>
  Tensor<B, L> random(const Shape& shape, DType dtype, int seed) {
    return tensor<L>(shape, dtype, random_values(shape.elements(), seed));
  }
  Tensor<B> filled(const Shape& shape, DType dtype, float value) {
    return from_host(device, shape, dtype, std::vector<float>(static_cast<size_t>(shape.elements()), value));
  }
  Tensor<B> ints(const std::vector<int32_t>& values) { return from_host(device, {static_cast<int64_t>(values.size())}, values); }
  std::vector<float> values(const Tensor<B>& t) { return to_host(queue, t.view()); }
};

struct CpuFixture : Fixture<Cpu> {
  explicit CpuFixture(Isa isa = best_isa(), int threads = 2) : Fixture(threads, isa) {}
};

}  // namespace infernum::test
