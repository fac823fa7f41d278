// Routing of tokens to experts, and the weighted sum of what they return.
#pragma once
#include <optional>
#include <type_traits>

#include "core/op.h"
#include "ops/kernels.h"

namespace infernum {

template <class B>
struct Routing {
  Tensor<B> weights;  ///< (T, S) F32
  Tensor<B> ids;      ///< (T, S) I32
};

/// The p.top_k experts of every row of logits (T, E), of any float type, as RouteParams tells (ties: the lower id); f32 throughout. bias
/// (E) F32 moves the choice, not the weights.
template <class B>
Routing<B> route(const Tensor<B>& logits, const std::type_identity_t<std::optional<Tensor<B>>>& bias, RouteParams p) {
  check(logits.shape().rank() == 2 && is_float(logits.dtype()), "route: a matrix of floats", logits.shape(), logits.dtype());
  const int64_t experts = logits.shape()[1];
  check(p.groups >= 1 && experts % p.groups == 0, "route: groups of equally many experts", p.groups, logits.shape());
  check(p.kept_groups >= 1 && p.kept_groups <= p.groups, "route: between one and all groups kept", p.kept_groups, p.groups);
  check(p.top_k >= 1 && p.top_k <= experts / p.groups * p.kept_groups, "route: between one and all experts of the kept groups per token",
        p.top_k, logits.shape(), p.kept_groups, p.groups);
  check(p.groups == 1 || p.group_score == RouteParams::Max || experts / p.groups >= 2, "route: the sum of two needs two experts a group",
        p.groups, logits.shape());
  check(!bias || (bias->shape() == Shape{experts} && bias->dtype() == DType::F32), "route: an F32 bias per expert",
        bias ? bias->shape() : Shape{}, logits.shape());
  const Shape chosen{logits.shape()[0], p.top_k};
  Routing<B> r{{logits.device(), chosen, DType::F32}, {logits.device(), chosen, DType::I32}};
  run<Route>(r.weights, r.ids, logits, bias ? bias->view() : View<B>{}, p);
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
