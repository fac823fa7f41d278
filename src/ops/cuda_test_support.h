// on_cuda(): runs the body of an op's test on a CUDA device, beside the instruction sets of the CPU that it runs on.
#pragma once
#include <gtest/gtest.h>

#include "core/build.h"
#include "ops/test_support.h"
#ifdef INFERNUM_HAS_CUDA
#include <cuda_runtime_api.h>

#include "backends/cuda/transfer.h"
#endif

#ifdef INFERNUM_HAS_CUDA
namespace infernum {
/// Beside Queue, where test::poison() finds it although it comes later.
inline void fill_with_ones(Queue<Cuda>& queue, void* memory, size_t bytes) {
  ASSERT_EQ(cudaMemsetAsync(memory, 0xff, bytes, queue.stream), cudaSuccess);
}
}  // namespace infernum
#endif

namespace infernum::test {

#ifdef INFERNUM_HAS_CUDA
inline void copy_bytes(Queue<Cuda>& queue, void* to, const std::vector<std::byte>& bytes) {
  queue.synchronize();  // `to` may be of the pool, with work on it under way
  upload(queue, to, bytes);
}

/// body(Fixture<Cuda>&) on the first device; where there is none, the test reports itself as skipped.
template <class F>
void on_cuda(const F& body) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "no CUDA device";
  Fixture<Cuda> fixture(0);
  body(fixture);
}
#else
template <class F>
void on_cuda(const F&) {
  GTEST_SKIP() << "built without CUDA";
}
#endif

/// body(Fixture<Cuda>&, dtype) for every type that kernels compute on, each on a fixture of its own.
template <class F>
void on_cuda_with_types(const F& body) {
  for (const DType dtype : {DType::F32, DType::F16, DType::BF16}) on_cuda([&](auto& on) { body(on, dtype); });
}

}  // namespace infernum::test
