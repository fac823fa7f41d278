// Llama 2, 3, 3.1, 3.2 and 3.3 (Touvron et al. 2023, Grattafiori et al. 2024): pre-norm decoder, grouped-query attention, SwiGLU MLP.
// Mistral 7B (Jiang et al. 2023) is the same network with a window on every layer.
#pragma once
#include "layers/attention.h"
#include "layers/causal_lm.h"
#include "layers/gated_mlp.h"
#include "layers/pre_norm_layer.h"
#include "models/config.h"

namespace infernum::llama {

struct Config : DecoderConfig {
  bool attention_bias, mlp_bias;
  explicit Config(const ConfigReader& json)
      : DecoderConfig(json), attention_bias(json.boolean("attention_bias").value_or(false)), mlp_bias(json.boolean("mlp_bias").value_or(false)) {}
};

struct MistralConfig : Config {
  /// An absent sliding_window means 4096 keys, null means all.
  explicit MistralConfig(const ConfigReader& json) : Config(json) {
    if (!json.is_null("sliding_window")) windows.assign(windows.size(), static_cast<int>(json.size("sliding_window", 4096)));
  }
};

template <class B>
struct Attention {
  ColLinear<B> q_proj, k_proj, v_proj;
  RowLinear<B> o_proj;
  RopeParams rope_params;
  AttentionParams params;

  Attention(const Weights<B>& w, const Config& c, int64_t layer)
      : q_proj(w / "q_proj", c.num_attention_heads * c.head_dim, c.hidden_size, c.attention_bias),
        k_proj(w / "k_proj", c.num_key_value_heads * c.head_dim, c.hidden_size, c.attention_bias),
        v_proj(w / "v_proj", c.num_key_value_heads * c.head_dim, c.hidden_size, c.attention_bias),
        o_proj(w / "o_proj", c.hidden_size, c.num_attention_heads * c.head_dim, c.attention_bias),
        rope_params(c.rope_params()),
        params(c.attention_params(layer)) {}

  /// x (T, H), rope (T, rotary_dim) -> (T, H), still to be reduced over ranks.
  Tensor<B, Partial> operator()(const Tensor<B>& x, const Tensor<B>& rope, const Batch<B>& batch, const KvLayer<B>& kv) const {
    const auto q = q_proj(x);
    const auto k = k_proj(x);
    const auto v = v_proj(x);
    const auto o = attend(q, k, v, rope, rope_params, batch, kv, params);
    return o_proj(o);
  }
};

template <class B>
struct Mlp : GatedMlp<B> {
  Mlp(const Weights<B>& w, const Config& c, int64_t) : GatedMlp<B>(w / "mlp", c.hidden_size, c.intermediate_size, c.mlp_bias) {}
};

template <class B>
using Llama = CausalLm<B, PreNormLayer<B, Attention<B>, Mlp<B>>>;

}  // namespace infernum::llama
