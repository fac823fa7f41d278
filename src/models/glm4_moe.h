// GLM-4.5, 4.6 and 4.7 (Zhipu AI 2025): Llama's attention with queries and keys rotated in half of each head, and DeepSeek-V3's mixture.
#pragma once
#include "layers/causal_lm.h"
#include "layers/pre_norm_layer.h"
#include "models/mixture_config.h"

namespace infernum::glm4_moe {

struct Config : DecoderConfig {
  bool attention_bias, use_qk_norm, mlp_bias = false;
  MixtureConfig mixture;
  explicit Config(const ConfigReader& json)
      : DecoderConfig(json, {.head_dim = 128,
                             .rms_norm_eps = 1e-5,
                             .partial_rotary_factor = 0.5,
                             .max_position_embeddings = 131072,
                             .num_key_value_heads = 8}),
        attention_bias(json.boolean("attention_bias").value_or(false)),
        use_qk_norm(json.boolean("use_qk_norm").value_or(false)),
        mixture(read_mixture(json, *this, {128, 8, 1408, 1, 1, 1, 1.0})) {}
};

template <class B>
struct Attention : GroupedQueryAttention<B> {
  std::optional<HeadNorm<B>> q_norm, k_norm;

  Attention(const Weights<B>& w, const Config& c, int64_t layer)
      : GroupedQueryAttention<B>(w, c.attention(layer, c.attention_bias, /*o_bias=*/false)) {
    if (!c.use_qk_norm) return;
    q_norm.emplace(w / "q_norm", c.head_dim, c.rms_norm_eps);
    k_norm.emplace(w / "k_norm", c.head_dim, c.rms_norm_eps);
  }

  /// x (T, H) -> (T, H), still to be reduced over ranks.
  Tensor<B, Partial> operator()(const Tensor<B>& x, const Step<B>& step, const LayerState<B>& kv) const {
    auto q = this->q_proj(x);
    auto k = this->k_proj(x);
    const auto v = this->v_proj(x);
    if (q_norm) {
      q = (*q_norm)(q);
      k = (*k_norm)(k);
    }
    const auto o = attend(q, k, v, this->shape, step, kv);
    return this->o_proj(o);
  }
};

template <class B>
using Glm4Moe = CausalLm<B, PreNormLayer<B, Attention<B>, FirstDenseMlp<B>>>;

}  // namespace infernum::glm4_moe
