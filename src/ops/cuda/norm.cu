// RmsNorm and LayerNorm.
#include "ops/cuda/norm.cuh"
#include "ops/kernels.h"

namespace infernum {
namespace {

template <bool centered>
void norm(Queue<Cuda>& q, std::string_view op, const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w, float eps) {
  check(x.dtype == y.dtype || x.dtype == DType::F32, "norm: the result is of x's dtype, or x is F32", op, info(y.dtype).name,
        info(x.dtype).name);
  const auto run = [&]<class Y, class X>(cuda::Type<Y>, cuda::Type<X>) {
    constexpr int most = 16 / sizeof(X);
    const auto in = cuda::rows<const X>(x);
    cuda::norm_rows<most, centered>(q, op, {&y, &x, &w}, y, cuda::rows<Y>(y), cuda::InputRows<X>{in}, w, eps,
                                    cuda::aligned<most>(in, x.rows()));
  };
  cuda::dispatch_float(y.dtype, [&]<class Y>(cuda::Type<Y> type) {
    if (x.dtype == DType::F32)
      run(type, cuda::Type<float>{});
    else
      run(type, type);
  });
}

}  // namespace

void kernel(RmsNorm, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x, View<Cuda> w, float eps) { norm<false>(q, RmsNorm::name, y, x, w, eps); }

void kernel(LayerNorm, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x, View<Cuda> w, float eps) {
  norm<true>(q, LayerNorm::name, y, x, w, eps);
}

}  // namespace infernum
