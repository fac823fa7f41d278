// OLMo 2 (Walsh et al. 2024): norms behind attention and MLP; queries and keys are normalised over all heads together.
#pragma once
#include "layers/causal_lm.h"
#include "layers/post_norm_layer.h"
#include "models/llama.h"

namespace infernum::olmo2 {

struct Config : llama::Config {
  explicit Config(const ConfigReader& json, double default_rope_theta = 10000)
      : llama::Config(json, {.rms_norm_eps = 1e-5, .rope_theta = default_rope_theta}) {}
};

template <class B>
struct Attention : llama::Attention<B> {
  ShardedNorm<B> q_norm, k_norm;

  Attention(const Weights<B>& w, const Config& c, int64_t layer)
      : llama::Attention<B>(w, c, layer),
        q_norm(w / "q_norm", c.num_attention_heads * c.head_dim, c.rms_norm_eps),
        k_norm(w / "k_norm", c.num_key_value_heads * c.head_dim, c.rms_norm_eps) {}

  /// x (T, H) -> (T, H), still to be reduced over ranks.
  Tensor<B, Partial> operator()(const Tensor<B>& x, const Step<B>& step, const LayerState<B>& kv) const {
    const auto q = q_norm(this->q_proj(x));
    const auto k = k_norm(this->k_proj(x));
    const auto v = this->v_proj(x);
    const auto o = attend(q, k, v, this->shape, step, kv);
    return this->o_proj(o);
  }
};

template <class B>
using Olmo2 = CausalLm<B, PostNormLayer<B, Attention<B>, llama::Mlp<B>>>;

}  // namespace infernum::olmo2
