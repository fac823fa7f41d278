// hard_swish on CUDA: the plain form, an element at a time. ops/cuda/map_rows.cuh has what the engine's own activations use.
#include "hard_swish.h"

#include <algorithm>

#include "backends/cuda/device.cuh"
#include "backends/cuda/launch.cuh"

namespace example {
namespace {

constexpr int threads = 256;

/// Floor: bytes of x and y. Grid: columns in x, rows in y; whoever takes more rows than the grid is high strides over them.
template <class T>
__global__ void __launch_bounds__(threads) hard_swish_kernel(cuda::Rows<T> y, cuda::Rows<const T> x, int64_t n_rows, int64_t cols) {
  const int64_t c = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (c >= cols) return;
  for (int64_t r = blockIdx.y; r < n_rows; r += gridDim.y) {
    const float value = cuda::to_float(x[r][c]), gate = value / 6.f + 0.5f;
    y[r][c] = cuda::from_float<T>(value * (gate < 0.f ? 0.f : gate > 1.f ? 1.f : gate));  // NaN stays NaN
  }
}

}  // namespace

void kernel(HardSwish, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x) {
  const auto blocks_across = static_cast<unsigned>((y.cols() + threads - 1) / threads);
  const Grid grid{dim3(blocks_across, static_cast<unsigned>(std::min<int64_t>(y.rows(), 65535))), dim3(threads)};
  cuda::dispatch_float(y.dtype, [&]<class T>(cuda::Type<T>) {
    launch(q, HardSwish::name, hard_swish_kernel<T>, grid, {&y, &x}, cuda::rows<T>(y), cuda::rows<const T>(x), y.rows(), y.cols());
  });
}

}  // namespace example
