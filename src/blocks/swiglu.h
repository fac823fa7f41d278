// SwiGLU (Shazeer 2020): the gated activation between the two matrices of an MLP.
#pragma once
#include "blocks/block.h"
#include "ops/elementwise.h"

namespace infernum {

/// y = silu(gate) * up; shapes equal.
struct SwiGlu : Block<SwiGlu> {
  static constexpr auto name = "swiglu";
  template <class B, Complete L>
  static Tensor<B, L> out(const Tensor<B, L>& gate, const Tensor<B, L>& up) {
    check(gate.shape() == up.shape(), "swiglu: shapes differ", gate.shape(), up.shape());
    check(gate.dtype() == up.dtype(), "swiglu: dtypes differ", gate.dtype(), up.dtype());
    return empty_like(gate);
  }
  template <class B, Complete L>
  static Tensor<B, L> decomposed(const Tensor<B, L>& gate, const Tensor<B, L>& up) {
    const auto activated = silu(gate);
    return mul(activated, up);
  }
};
inline constexpr SwiGlu swiglu;
static_assert(HasKernel<SwiGlu, Cpu, Tensor<Cpu, Shard>, Tensor<Cpu, Shard>, Tensor<Cpu, Shard>>);

}  // namespace infernum
