// Gemma 3 (Gemma Team 2025): Gemma 2 without soft caps; queries and keys are normed per head; five layers with a window and a rotary base
// of their own to one that sees everything.
#pragma once
#include "layers/qk_norm_attention.h"
#include "models/gemma2.h"

namespace infernum::gemma3 {

/// The multimodal checkpoints are published without the keys that have these values.
inline ConfigDefaults defaults(double rope_theta) {
  ConfigDefaults d = gemma2::defaults;
  d.vocab_size = 262208;
  d.max_position_embeddings = 131072;
  d.rope_theta = rope_theta;
  return d;
}

struct Config : gemma2::Config {
  explicit Config(const ConfigReader& json) : gemma2::Config(json, defaults(1e6), 0, 0) {
    const int64_t pattern = json.size(json.has("_sliding_window_pattern") ? "_sliding_window_pattern" : "sliding_window_pattern", 6);
    set_windows(json, [pattern](int64_t layer) { return (layer + 1) % pattern ? "sliding_attention" : "full_attention"; });
    // Table 0: layers that see everything, with the config's scaling; table 1: layers with a window, never scaled.
    ropes = {read_rope(json, head_dim, max_position_embeddings, defaults(1e6), "full_attention"), {}};
    const auto by_type = json.object("rope_parameters");
    if (by_type && by_type->has("sliding_attention")) {
      ropes[1] = read_rope(json, head_dim, max_position_embeddings, defaults(1e4), "sliding_attention");
    } else {
      ropes[1].rotary_dim = head_dim;
      ropes[1].rope_theta = json.number("rope_local_base_freq").value_or(1e4);
      ropes[1].rope_interleaved = ropes[0].rope_interleaved;
    }
    for (size_t i = 0; i < windows.size(); i++) layer_rope[i] = windows[i] > 0 ? 1 : 0;
  }
};

template <class B>
struct Attention : QkNormAttention<B> {
  Attention(const Weights<B>& w, const Config& c, int64_t layer)
      : QkNormAttention<B>(w, c.attention(layer), c.rms_norm_eps, c.zero_centred_norm) {}
};

template <class B>
using Gemma3 = CausalLm<B, SandwichLayer<B, Attention<B>, gemma2::Mlp<B>>>;

}  // namespace infernum::gemma3
