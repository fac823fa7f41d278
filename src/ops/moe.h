// Routing of tokens to experts, and the weighted sum of what they return.
#pragma once
#include "core/op.h"
#include "ops/kernels.h"

namespace infernum {

template <class B>
struct Routing {
  Tensor<B> weights;  ///< (T, S) F32
  Tensor<B> ids;      ///< (T, S) I32
};

/// Softmax over all experts, then the `top_k` most probable (ties: the lower id); weights divided by their sum if `renormalise`. logits (T,
/// E).
template <class B>
Routing<B> route_softmax(const Tensor<B>& logits, int64_t top_k, bool renormalise) {
  check(top_k >= 1 && top_k <= logits.shape()[1], "route_softmax: between one and all experts per token", top_k, logits.shape());
  const Shape chosen{logits.shape()[0], top_k};
  Routing<B> r{{logits.device(), chosen, DType::F32}, {logits.device(), chosen, DType::I32}};
  run<RouteSoftmax>(r.weights, r.ids, logits, renormalise);
  return r;
}

/// y (T, H) = sum over s of weights (T, S)[t, s] * x (T*S, H)[t*S + s]. Linear in x: a Partial stays one.
template <class B, Layout L>
Tensor<B, L> combine_experts(const Tensor<B, L>& x, const Tensor<B>& weights) {
  check(x.shape()[0] == weights.shape().elements(), "combine_experts: a row per chosen expert", x.shape(), weights.shape());
  Tensor<B, L> y(x.device(), {weights.shape()[0], x.shape()[1]}, x.dtype());
  run<CombineExperts>(y, x, weights);
  return y;
}

/// y (T*S, n): row p = x (T*S, n) row p + bias (E, n) F32 [ids (T, S)[p]]. For a Partial x add it on one rank only.
template <class B, Layout L, Layout LB>
Tensor<B, L> add_expert_bias(const Tensor<B, L>& x, const Tensor<B, LB>& bias, const Tensor<B>& ids) {
  check(x.shape().rank() == 2 && bias.shape().rank() == 2 && x.shape()[1] == bias.shape()[1] && bias.dtype() == DType::F32,
        "add_expert_bias: an F32 row per expert, as long as a row of x", x.shape(), bias.shape(), bias.dtype());
  check(x.shape()[0] == ids.shape().elements() && ids.dtype() == DType::I32, "add_expert_bias: an I32 id per row", x.shape(), ids.shape(),
        ids.dtype());
  auto y = empty_like(x);
  run<AddExpertBias>(y, x, bias, ids);
  return y;
}

}  // namespace infernum
