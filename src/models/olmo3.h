// OLMo 3 (Ai2 2025): OLMo 2 with a window on three layers of four, where positions are never scaled.
#pragma once
#include "models/olmo2.h"

namespace infernum::olmo3 {

struct Config : olmo2::Config {
  explicit Config(const ConfigReader& json) : olmo2::Config(json, 500000) {
    const auto derived = [](int64_t layer) { return (layer + 1) % 4 ? "sliding_attention" : "full_attention"; };
    const auto types = read_layer_types(json, num_hidden_layers, {"full_attention", "sliding_attention"}, derived);
    windows = windows_of(json, types, 4096);
    ropes.push_back(sliding_rope(json));
    for (size_t i = 0; i < layer_rope.size(); i++) layer_rope[i] = types[i] == "sliding_attention" ? 1 : 0;
  }

 private:
  /// The table of the layers with windows: rope_parameters.sliding_attention, or that of the others without its scaling.
  RopeConfig sliding_rope(const ConfigReader& json) const {
    const auto parameters = json.object("rope_parameters");
    if (parameters && parameters->has("sliding_attention"))
      return read_rope(json, head_dim, max_position_embeddings, {.rope_theta = 500000}, "sliding_attention");
    RopeConfig rope = ropes[0];
    rope.rope_type = "default";
    return rope;
  }
};

}  // namespace infernum::olmo3
