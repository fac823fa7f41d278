// GEGLU (Shazeer 2020) with the tanh form of GELU: the gated activation of Gemma.
#pragma once
#include "blocks/block.h"
#include "ops/elementwise.h"

namespace infernum {

/// y = gelu_tanh(gate) * up; shapes equal.
struct GeGlu : Block<GeGlu> {
  static constexpr auto name = "geglu";
  template <class B, Complete L>
  static Tensor<B, L> out(const Tensor<B, L>& gate, const Tensor<B, L>& up) {
    check(gate.shape() == up.shape(), "geglu: shapes differ", gate.shape(), up.shape());
    check(gate.dtype() == up.dtype(), "geglu: dtypes differ", gate.dtype(), up.dtype());
    return empty_like(gate);
  }
  template <class B, Complete L>
  static Tensor<B, L> decomposed(const Tensor<B, L>& gate, const Tensor<B, L>& up) {
    const auto activated = gelu_tanh(gate);
    return mul(activated, up);
  }
};
inline constexpr GeGlu geglu;
static_assert(HasKernel<GeGlu, Cpu, Tensor<Cpu, Shard>, Tensor<Cpu, Shard>, Tensor<Cpu, Shard>>);

}  // namespace infernum
