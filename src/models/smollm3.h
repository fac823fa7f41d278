// SmolLM3 (Hugging Face 2025): Llama without positions in every fourth layer (NoPE, Kazemnejad et al. 2023).
#pragma once
#include "models/llama.h"

namespace infernum::smollm3 {

struct Config : llama::Config {
  explicit Config(const ConfigReader& json)
      : llama::Config(json,
                      {.tie_word_embeddings = true, .rope_theta = 2000000, .max_position_embeddings = 32768, .num_key_value_heads = 4}) {
    read_positions(json);
    const bool windowed = json.boolean("use_sliding_window").value_or(false) && json.has("sliding_window");
    const auto derived = [&](int64_t layer) {
      return windowed && layer_rope[static_cast<size_t>(layer)] == AttentionShape::no_rope ? "sliding_attention" : "full_attention";
    };
    windows = windows_of(json, read_layer_types(json, num_hidden_layers, {"full_attention", "sliding_attention"}, derived));
  }

 private:
  /// no_rope_layers holds 1 for a layer with positions and 0 for one without; absent: every no_rope_layer_interval-th is without.
  void read_positions(const ConfigReader& json) {
    const auto rotates = json.numbers("no_rope_layers");
    const int64_t interval = json.size("no_rope_layer_interval", 4);
    check(rotates.empty() || rotates.size() >= layer_rope.size(), "config.json: no_rope_layers must have an entry for every layer",
          rotates.size(), layer_rope.size());
    for (size_t i = 0; i < layer_rope.size(); i++) {
      const bool rotated = rotates.empty() ? (static_cast<int64_t>(i) + 1) % interval != 0 : rotates[i] != 0;
      if (!rotated) layer_rope[i] = AttentionShape::no_rope;
    }
  }
};

}  // namespace infernum::smollm3
