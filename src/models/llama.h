// Llama 2, 3, 3.1, 3.2 and 3.3 (Touvron et al. 2023, Grattafiori et al. 2024): pre-norm decoder, grouped-query attention, SwiGLU MLP.
// Mistral 7B (Jiang et al. 2023) is the same network with a window on every layer.
#pragma once
#include "layers/causal_lm.h"
#include "layers/gated_mlp.h"
#include "layers/pre_norm_layer.h"
#include "models/config.h"

namespace infernum::llama {

struct Config : DecoderConfig {
  bool attention_bias, mlp_bias;
  explicit Config(const ConfigReader& json, const ConfigDefaults& defaults = {})
      : DecoderConfig(json, defaults),
        attention_bias(json.boolean("attention_bias").value_or(false)),
        mlp_bias(json.boolean("mlp_bias").value_or(false)) {}
};

struct MistralConfig : Config {
  /// An absent sliding_window means 4096 keys, null means all.
  explicit MistralConfig(const ConfigReader& json) : Config(json, {.max_position_embeddings = 131072, .num_key_value_heads = 8}) {
    if (!json.is_null("sliding_window")) windows.assign(windows.size(), static_cast<int>(json.size("sliding_window", 4096)));
  }
};

template <class B>
struct Attention : GroupedQueryAttention<B> {
  Attention(const Weights<B>& w, const Config& c, int64_t layer)
      : GroupedQueryAttention<B>(w, c.attention(layer, c.attention_bias, c.attention_bias)) {}
};

template <class B>
struct Mlp : GatedMlp<B> {
  Mlp(const Weights<B>& w, const Config& c, int64_t) : GatedMlp<B>(w / "mlp", c.hidden_size, c.intermediate_size, c.mlp_bias) {}
};

template <class B>
using Llama = CausalLm<B, PreNormLayer<B, Attention<B>, Mlp<B>>>;

}  // namespace infernum::llama
