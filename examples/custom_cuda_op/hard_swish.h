// hard_swish: an op that the engine does not have, with all that an op needs: its tag, its cost, its kernels and its front.
#pragma once
#include "core/op.h"
#include "ops/costs.h"

namespace example {
using namespace infernum;

/// y = x * clamp(x / 6 + 1 / 2, 0, 1), the SiLU without an exponential (Howard et al. 2019, MobileNetV3); F32 inside.
struct HardSwish {
  static constexpr auto name = "hard_swish";
  template <class V>
  static OpCost cost(const V& y, const V& x) {
    return {5. * static_cast<double>(y.elements()), static_cast<double>(y.bytes() + x.bytes())};
  }
};
// A line per backend, beside the tag, where run() finds it. Trace records every op without one.
void kernel(HardSwish, Queue<Cpu>&, View<Cpu> y, View<Cpu> x);
void kernel(HardSwish, Queue<Cuda>&, View<Cuda> y, View<Cuda> x);

template <class B, Complete L>
Tensor<B, L> hard_swish(const Tensor<B, L>& x) {
  check(is_float(x.dtype()), "hard_swish: a float tensor is needed", x.dtype());
  auto y = empty_like(x);
  run<HardSwish>(y, x);
  return y;
}

}  // namespace example
