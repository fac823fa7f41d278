// CombineExperts and AddExpertBias: S rows per token.
#include "ops/cuda/map_rows.cuh"
#include "ops/kernels.h"

namespace infernum {
namespace {

using cuda::load;
using cuda::Pack;
using cuda::Rows;

/// Floor: bytes of x and y. A thread per V columns of a token sums their S rows, in order.
template <int V, class T>
__global__ void combine_experts_kernel(Rows<T> y, Rows<const T> x, Rows<const float> weights, int64_t tokens, int64_t cols, int chosen) {
  const int64_t c = cuda::first_unit() * V;
  if (c >= cols) return;
  for (int64_t t = cuda::first_row(); t < tokens; t += cuda::row_step()) {
    Pack<float, V> sum{};
#pragma unroll 4
    for (int s = 0; s < chosen; s++) {
      const float w = weights[t][s];
      const auto part = load<V>(x[t * chosen + s] + c);
#pragma unroll
      for (int i = 0; i < V; i++) sum.values[i] += w * part.values[i];
    }
    cuda::store<V>(y[t] + c, sum);
  }
}

struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};

}  // namespace

void kernel(CombineExperts, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x, View<Cuda> weights) {
  check(x.dtype == y.dtype, "combine_experts: x and y are of one dtype", info(x.dtype).name, info(y.dtype).name);
  cuda::dispatch_float(x.dtype, [&]<class T>(cuda::Type<T>) {
    constexpr int most = 16 / sizeof(T);
    const auto out = cuda::rows<T>(y);
    const auto in = cuda::rows<const T>(x);
    const bool fits = y.cols() % most == 0 && cuda::aligned<most>(out, y.rows()) && cuda::aligned<most>(in, x.rows());
    cuda::with_width<most>(fits, [&]<int V>(cuda::Width<V>) {
      launch(q, CombineExperts::name, combine_experts_kernel<V, T>, cuda::row_grid(y.rows(), cuda::ceil_div(y.cols(), V)),
             {&y, &x, &weights}, out, in, cuda::rows<const float>(weights), y.rows(), y.cols(), weights.cols());
    });
  });
}

void kernel(AddExpertBias, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x, View<Cuda> bias, View<Cuda> ids) {
  check(x.dtype == y.dtype, "add_expert_bias: x and y are of one dtype", info(x.dtype).name, info(y.dtype).name);
  cuda::dispatch_float(x.dtype, [&]<class T>(cuda::Type<T>) {
    const cuda::IndexedRows<const float> bias_of_row{static_cast<const float*>(bias.data), bias.stride, ids.as<const int32_t>()};
    cuda::map_rows(q, AddExpertBias::name, {&y, &x, &bias, &ids}, y.rows(), y.cols(), Sum{}, cuda::rows<T>(y), cuda::rows<const T>(x),
                   bias_of_row);
  });
}

}  // namespace infernum
