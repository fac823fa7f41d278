// swish_glu: a block, which is a definition in ops that runs everywhere, and a fused kernel on the backends that have a line for it.
#pragma once
#include "blocks/block.h"
#include "ops/elementwise.h"

namespace example {
using namespace infernum;

/// y = gate * sigmoid(beta * gate) * up, the gated Swish of Ramachandran et al. (2017) and Shazeer (2020). beta 1: SwiGLU.
template <class Self>
struct SwishGluDefinition : Block<Self> {
  template <class B, Complete L>
  static Tensor<B, L> out(const Tensor<B, L>& gate, const Tensor<B, L>& up, float) {
    check(gate.shape() == up.shape() && gate.dtype() == up.dtype(), "swish_glu: shapes and dtypes must be equal", gate.shape(),
          gate.dtype(), up.shape(), up.dtype());
    return empty_like(gate);
  }
  template <class B, Complete L>
  static Tensor<B, L> decomposed(const Tensor<B, L>& gate, const Tensor<B, L>& up, float beta) {
    const auto open = sigmoid(scale(gate, beta));
    const auto swish = mul(gate, open);
    return mul(swish, up);
  }
};

struct SwishGlu : SwishGluDefinition<SwishGlu> {
  static constexpr auto name = "swish_glu";
};
// The fused forms.
void kernel(SwishGlu, Queue<Cpu>&, View<Cpu> y, View<Cpu> gate, View<Cpu> up, float beta);
void kernel(SwishGlu, Queue<Cuda>&, View<Cuda> y, View<Cuda> gate, View<Cuda> up, float beta);

/// The same block with a mistake in its fused form: it forgets beta, which nobody sees while beta is 1.
struct WrongSwishGlu : SwishGluDefinition<WrongSwishGlu> {
  static constexpr auto name = "wrong_swish_glu";
};
void kernel(WrongSwishGlu, Queue<Cpu>&, View<Cpu> y, View<Cpu> gate, View<Cpu> up, float beta);

// Without these a line that run() does not find, for a scalar of another type for example, would leave the block decomposed in silence.
static_assert(HasKernel<SwishGlu, Cpu, Tensor<Cpu, Shard>, Tensor<Cpu, Shard>, Tensor<Cpu, Shard>, float>);
static_assert(HasKernel<SwishGlu, Cuda, Tensor<Cuda, Shard>, Tensor<Cuda, Shard>, Tensor<Cuda, Shard>, float>);

}  // namespace example
