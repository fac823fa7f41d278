// SwiGLU between bounds, with 1 added to the linear half: the gated activation of gpt-oss.
#pragma once
#include <limits>

#include "blocks/block.h"
#include "ops/elementwise.h"

namespace infernum {

/// y = (clamp(up, -limit, limit) + 1) * g * sigmoid(alpha * g), g = min(gate, limit); shapes equal.
struct ClampedSwiGlu : Block<ClampedSwiGlu> {
  static constexpr auto name = "clamped_swiglu";
  template <class B, Complete L>
  static Tensor<B, L> out(const Tensor<B, L>& gate, const Tensor<B, L>& up, float, float limit) {
    check(gate.shape() == up.shape(), "clamped_swiglu: shapes differ", gate.shape(), up.shape());
    check(gate.dtype() == up.dtype(), "clamped_swiglu: dtypes differ", gate.dtype(), up.dtype());
    check(limit >= 0, "clamped_swiglu: the limit is not negative", limit);
    return empty_like(gate);
  }
  template <class B, Complete L>
  static Tensor<B, L> decomposed(const Tensor<B, L>& gate, const Tensor<B, L>& up, float alpha, float limit) {
    const auto g = clamp(gate, -std::numeric_limits<float>::infinity(), limit);
    const auto u = clamp(up, -limit, limit);
    const auto scaled = scale(g, alpha);
    const auto weight = sigmoid(scaled);
    const auto activated = mul(g, weight);
    const auto product = mul(activated, u);
    return add(product, activated);
  }
};
inline constexpr ClampedSwiGlu clamped_swiglu;
static_assert(HasKernel<ClampedSwiGlu, Cpu, Tensor<Cpu, Shard>, Tensor<Cpu, Shard>, Tensor<Cpu, Shard>, float, float>);

}  // namespace infernum
