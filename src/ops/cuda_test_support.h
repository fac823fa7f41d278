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
/// For test::poison(), which finds it through its first argument.
inline void fill_with_ones(Queue<Cuda>& queue, void* memory, size_t bytes) {
  ASSERT_EQ(cudaMemsetAsync(memory, 0xff, bytes, queue.stream), cudaSuccess);
}
}  // namespace infernum
#endif

namespace infernum::test {

#ifdef INFERNUM_HAS_CUDA

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

}  // namespace infernum::test
