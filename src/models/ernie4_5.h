// ERNIE 4.5, dense (Baidu 2025): Llama whose rotated components are neighbours; one flag gives every linear layer a bias.
#pragma once
#include "models/llama.h"

namespace infernum::ernie4_5 {

struct Config : llama::Config {
  explicit Config(const ConfigReader& json)
      : llama::Config(json, {.head_dim = 128,
                             .rms_norm_eps = 1e-5,
                             .tie_word_embeddings = true,
                             .rope_theta = 500000,
                             .max_position_embeddings = 131072,
                             .num_key_value_heads = 2}) {
    attention_bias = mlp_bias = json.boolean("use_bias").value_or(false);
    ropes[0].rope_interleaved = true;
  }
};

}  // namespace infernum::ernie4_5
