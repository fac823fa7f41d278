// Recurrent token mixers: the short causal convolution and the gated delta rule (Yang et al. 2024), with their states in slots that a block
// table names.
//
// Row r of batch.block_tables[group] names, for block b of a sequence (positions b * block_tokens and on), the slot with the state after
// the last processed token of that block, or -1 where no state is kept at that block's end. A step starts from the slot of the block that
// holds the position before its first token, or from zero at position 0; it leaves its states in the slots of the blocks that it finishes,
// and in that of its last token, which must exist. The slot it starts from may be the one it writes, and is otherwise left as it is.
#pragma once
#include "core/op.h"
#include "ops/batch.h"
#include "ops/kernels.h"

namespace infernum {

/// y (T, C) = silu(sum over j of weight[:, j] * x at the position K - 1 - j before), zero before the start. weight (C, K) F32; state
/// (slots, K - 1, C) F32: the last inputs, oldest first.
template <class B, Complete L, Complete M>
Tensor<B, L> causal_conv(const Tensor<B, L>& x, const Tensor<B, M>& weight, const Tensor<B>& state, const Batch<B>& batch, int group) {
  const int64_t channels = x.shape()[1], taps = weight.shape()[1];
  check(weight.shape() == Shape{channels, taps} && taps >= 1 && weight.dtype() == DType::F32,
        "causal_conv: weight must be F32, (C, K) for x (T, C)", weight.shape(), weight.dtype(), x.shape());
  check(state.shape().rank() == 3 && state.shape()[1] == taps - 1 && state.shape()[2] == channels && state.dtype() == DType::F32,
        "causal_conv: state must be F32, (slots, K - 1, C)", state.shape(), state.dtype(), weight.shape());
  auto y = empty_like(x);
  run<CausalConv>(y, state, x, weight, batch.positions, batch.query_start, batch.block_tables[static_cast<size_t>(group)]);
  return y;
}

template <class B, Layout L>
struct DeltaGates {
  Tensor<B, L> g;     ///< (T, Hv) F32: logarithm of the decay
  Tensor<B, L> beta;  ///< (T, Hv) F32: how much of the error is written
};

/// g = a_neg * softplus(a + dt_bias), beta = sigmoid(b), in f32. a, b (T, Hv); a_neg = -exp(A_log) and dt_bias (Hv) F32.
template <class B, Complete L, Complete M>
DeltaGates<B, L> delta_gates(const Tensor<B, L>& a, const Tensor<B, L>& b, const Tensor<B, M>& a_neg, const Tensor<B, M>& dt_bias) {
  const Shape heads{a.shape()[1]};
  check(a.shape() == b.shape(), "delta_gates: a and b must have one shape", a.shape(), b.shape());
  check(a_neg.shape() == heads && dt_bias.shape() == heads && a_neg.dtype() == DType::F32 && dt_bias.dtype() == DType::F32,
        "delta_gates: a_neg and dt_bias must be F32, one per head", a_neg.shape(), a_neg.dtype(), dt_bias.shape(), dt_bias.dtype(), heads);
  DeltaGates<B, L> y{{a.device(), a.shape(), DType::F32}, {a.device(), a.shape(), DType::F32}};
  run<DeltaGateValues>(y.g, y.beta, a, b, a_neg, dt_bias);
  return y;
}

/// o (T, Hv * dv) of v's dtype. Per value head, with q and k of length 1 and q times dk^-0.5:
/// S = exp(g) * S; e = (v - S^T k) * beta; S += k e^T; o = S^T q. q, k (T, Hk * dk), v (T, Hv * dv), g, beta (T, Hv) F32,
/// state (slots, Hv, dk, dv) F32. All arithmetic in f32.
template <class B, Complete L>
Tensor<B, L> gated_delta(const Tensor<B, L>& q, const Tensor<B, L>& k, const Tensor<B, L>& v, const Tensor<B, L>& g,
                         const Tensor<B, L>& beta, const Tensor<B>& state, const Batch<B>& batch, int group, DeltaParams p) {
  check(state.shape().rank() == 4 && state.dtype() == DType::F32, "gated_delta: state must be F32, (slots, Hv, dk, dv)", state.shape(),
        state.dtype());
  const int64_t tokens = v.shape()[0], heads = state.shape()[1], dk = state.shape()[2], dv = state.shape()[3];
  check(v.shape()[1] == heads * dv && g.shape() == Shape{tokens, heads} && beta.shape() == g.shape() && g.dtype() == DType::F32 &&
            beta.dtype() == DType::F32,
        "gated_delta: v must be (T, Hv * dv), g and beta F32 (T, Hv)", v.shape(), g.shape(), g.dtype(), beta.shape(), beta.dtype(),
        state.shape());
  check(
      q.shape() == k.shape() && q.shape()[0] == tokens && q.shape()[1] >= dk && q.shape()[1] % dk == 0 && heads % (q.shape()[1] / dk) == 0,
      "gated_delta: q and k must be (T, Hk * dk), with Hk a divisor of Hv", q.shape(), k.shape(), state.shape());
  auto o = empty_like(v);
  run<GatedDelta>(o, state, q, k, v, g, beta, batch.positions, batch.query_start, batch.block_tables[static_cast<size_t>(group)], p);
  return o;
}

}  // namespace infernum
