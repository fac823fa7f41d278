// GLM-4-0414 (Zhipu 2025): a norm before and after attention and MLP, biases on q, k and v; neighbouring components of the first half of
// every head are rotated.
#pragma once
#include "layers/causal_lm.h"
#include "layers/sandwich_layer.h"
#include "models/phi3.h"

namespace infernum::glm4 {

struct Config : DecoderConfig {
  bool attention_bias;
  explicit Config(const ConfigReader& json)
      : DecoderConfig(json, {.head_dim = 128,
                             .rms_norm_eps = 1.5625e-7,
                             .partial_rotary_factor = 0.5,
                             .max_position_embeddings = 131072,
                             .num_key_value_heads = 2}),
        attention_bias(json.boolean("attention_bias").value_or(true)) {
    ropes[0].rope_interleaved = true;
  }
};

template <class B>
struct Attention : GroupedQueryAttention<B> {
  Attention(const Weights<B>& w, const Config& c, int64_t layer)
      : GroupedQueryAttention<B>(w, c.attention(layer, c.attention_bias, /*o_bias=*/false)) {}
};

template <class B>
struct Layer : SandwichLayer<B, Attention<B>, phi3::Mlp<B>> {
  Layer(const Weights<B>& w, const Config& c, int64_t index)
      : SandwichLayer<B, Attention<B>, phi3::Mlp<B>>(
            w, c, index, {"input_layernorm", "post_self_attn_layernorm", "post_attention_layernorm", "post_mlp_layernorm"}) {}
};

template <class B>
using Glm4 = CausalLm<B, Layer<B>>;

}  // namespace infernum::glm4
