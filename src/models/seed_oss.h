// Seed-OSS (ByteDance 2025): Llama with biases on q, k and v; o and the MLP have flags of their own.
#pragma once
#include "models/llama.h"

namespace infernum::seed_oss {

struct Config : llama::Config {
  bool attention_out_bias;
  explicit Config(const ConfigReader& json)
      : llama::Config(json, {.head_dim = 128, .max_position_embeddings = 524288, .num_key_value_heads = 8}),
        attention_out_bias(json.boolean("attention_out_bias").value_or(false)) {
    attention_bias = json.boolean("attention_bias").value_or(true);
  }
};

template <class B>
struct Attention : GroupedQueryAttention<B> {
  Attention(const Weights<B>& w, const Config& c, int64_t layer)
      : GroupedQueryAttention<B>(w, c.attention(layer, c.attention_bias, c.attention_out_bias)) {}
};

template <class B>
using SeedOss = CausalLm<B, PreNormLayer<B, Attention<B>, llama::Mlp<B>>>;

}  // namespace infernum::seed_oss
