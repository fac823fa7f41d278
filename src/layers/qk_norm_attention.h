// Grouped-query attention whose queries and keys are normalised per head before they are rotated (Henry et al. 2020).
#pragma once
#include "layers/grouped_query_attention.h"
#include "layers/norm.h"

namespace infernum {

template <class B>
struct QkNormAttention : GroupedQueryAttention<B> {
  HeadNorm<B> q_norm, k_norm;

  QkNormAttention(const Weights<B>& w, const AttentionShape& s, float eps, bool zero_centred = false)
      : GroupedQueryAttention<B>(w, s),
        q_norm(w / "q_norm", s.params.head_dim, eps, zero_centred),
        k_norm(w / "k_norm", s.params.head_dim, eps, zero_centred) {}

  /// x (T, H) -> (T, H), still to be reduced over ranks.
  Tensor<B, Partial> operator()(const Tensor<B>& x, const Step<B>& step, const LayerState<B>& kv) const {
    const auto q = q_norm(this->q_proj(x));
    const auto k = k_norm(this->k_proj(x));
    const auto v = this->v_proj(x);
    const auto o = attend(q, k, v, this->shape, step, kv);
    return this->o_proj(o);
  }
};

}  // namespace infernum
