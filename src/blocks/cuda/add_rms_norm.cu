// AddRmsNorm fused: the sum stays in registers between the addition and the norm.
#include "blocks/add_rms_norm.h"

#include "ops/cuda/norm.cuh"

namespace infernum {
namespace {

using cuda::Pack;
using cuda::Rows;

template <class H, class X, int V>
struct Summands {
  Pack<H, V> h;
  Pack<X, V> x;
};

/// h + x, kept in `sum` on the way; the norm reads it before it is rounded.
template <class H, class X>
struct SumRows {
  Rows<H> sum;
  Rows<const H> h;
  Rows<const X> x;
  template <int V>
  __device__ Summands<H, X, V> read(int64_t r, int64_t c) const {
    return {cuda::load_raw<V>(h[r] + c), cuda::load_raw<V>(x[r] + c)};
  }
  template <int V>
  __device__ Pack<float, V> value(const Summands<H, X, V>& raw) const {
    auto total = cuda::widen(raw.h);
    const auto more = cuda::widen(raw.x);
#pragma unroll
    for (int i = 0; i < V; i++) total.values[i] += more.values[i];
    return total;
  }
  template <int V>
  __device__ void keep(int64_t r, int64_t c, const Pack<float, V>& total) const {
    cuda::store<V>(sum[r] + c, total);
  }
};

}  // namespace

void kernel(AddRmsNorm, Queue<Cuda>& q, View<Cuda> sum, View<Cuda> y, View<Cuda> h, View<Cuda> x, View<Cuda> w, float eps) {
  check(sum.dtype == h.dtype && (h.dtype == DType::F32 || (x.dtype == h.dtype && y.dtype == h.dtype)),
        "add_rms_norm: the stream and its sum are F32, or all are of one dtype", info(sum.dtype).name, info(y.dtype).name,
        info(h.dtype).name, info(x.dtype).name);
  const auto run = [&]<class Y, class H, class X>(cuda::Type<Y>, cuda::Type<H>, cuda::Type<X>) {
    constexpr int most = 16 / sizeof(H);
    const SumRows<H, X> source{cuda::rows<H>(sum), cuda::rows<const H>(h), cuda::rows<const X>(x)};
    const int64_t n_rows = y.rows();
    const bool fits =
        cuda::aligned<most>(source.sum, n_rows) && cuda::aligned<most>(source.h, n_rows) && cuda::aligned<most>(source.x, n_rows);
    cuda::norm_rows<most, false>(q, AddRmsNorm::name, {&sum, &y, &h, &x, &w}, y, cuda::rows<Y>(y), source, w, eps, fits);
  };
  cuda::dispatch_float(y.dtype, [&]<class Y>(cuda::Type<Y> result) {
    if (h.dtype != DType::F32) return run(result, result, result);
    cuda::dispatch_float(x.dtype, [&]<class X>(cuda::Type<X> added) { run(result, cuda::Type<float>{}, added); });
  });
}

}  // namespace infernum
