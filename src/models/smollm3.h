// SmolLM3 (Hugging Face 2025): Llama without positions in every fourth layer (NoPE, Kazemnejad et al. 2023).
#pragma once
#include "models/llama.h"

namespace infernum::smollm3 {

struct Config : llama::Config {
  explicit Config(const ConfigReader& json)
      : llama::Config(json,
                      {.tie_word_embeddings = true, .rope_theta = 2000000, .max_position_embeddings = 32768, .num_key_value_heads = 4}) {
    const auto rotary = rotary_layers(json, num_hidden_layers);
    for (size_t i = 0; i < rotary.size(); i++)
      if (!rotary[i]) layer_rope[i] = AttentionShape::no_rope;
    const bool windowed = json.boolean("use_sliding_window").value_or(false) && json.has("sliding_window");
    const auto derived = [&](int64_t layer) {
      return windowed && !rotary[static_cast<size_t>(layer)] ? "sliding_attention" : "full_attention";
    };
    windows = windows_of(json, read_layer_types(json, num_hidden_layers, {"full_attention", "sliding_attention"}, derived));
  }
};

}  // namespace infernum::smollm3
