// scaled_add: an op whose CUDA kernel is no source of this program but PTX in a file, loaded when the op first runs.
#pragma once
#include "core/op.h"
#include "ops/costs.h"

namespace example {
using namespace infernum;

/// y = h + scale * x; shapes and dtypes equal, F32 inside. How a branch joins a residual stream where branches are weighted (De and Smith
/// 2020, Bachlechner et al. 2020).
struct ScaledAdd {
  static constexpr auto name = "scaled_add";
  template <class V>
  static OpCost cost(const V& y, const V& h, const V& x, float) {
    return {2. * static_cast<double>(y.elements()), static_cast<double>(y.bytes() + h.bytes() + x.bytes())};
  }
};
void kernel(ScaledAdd, Queue<Cpu>&, View<Cpu> y, View<Cpu> h, View<Cpu> x, float scale);
void kernel(ScaledAdd, Queue<Cuda>&, View<Cuda> y, View<Cuda> h, View<Cuda> x, float scale);

template <class B, Layout L>
Tensor<B, L> scaled_add(const Tensor<B, L>& h, const Tensor<B, L>& x, float scale) {
  check(h.shape() == x.shape() && h.dtype() == x.dtype() && is_float(h.dtype()), "scaled_add: float tensors of one shape and dtype",
        h.shape(), h.dtype(), x.shape(), x.dtype());
  auto y = empty_like(h);
  run<ScaledAdd>(y, h, x, scale);
  return y;
}

}  // namespace example
