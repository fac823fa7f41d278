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

}  // namespace infernum
