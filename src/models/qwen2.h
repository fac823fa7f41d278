// Qwen2 and Qwen2.5 (Yang et al. 2024): Llama with biases on q, k and v, and optionally a window on the upper layers.
#pragma once
#include "layers/causal_lm.h"
#include "layers/gated_mlp.h"
#include "layers/pre_norm_layer.h"
#include "models/config.h"

namespace infernum::qwen2 {

/// Per layer: `layer_types` if given, else a window from layer max_window_layers on; never without use_sliding_window.
inline std::vector<int> read_windows(const ConfigReader& json, int64_t layers, int64_t default_max_window_layers) {
  const bool enabled = json.boolean("use_sliding_window").value_or(false) && json.has("sliding_window");
  const int64_t first = json.integer("max_window_layers").value_or(default_max_window_layers);
  const auto derived = [&](int64_t layer) { return enabled && layer >= first ? "sliding_attention" : "full_attention"; };
  return windows_of(json, read_layer_types(json, layers, {"full_attention", "sliding_attention"}, derived));
}

struct Config : DecoderConfig {
  explicit Config(const ConfigReader& json, const ConfigDefaults& defaults = {.max_position_embeddings = 32768, .num_key_value_heads = 32},
                  int64_t default_max_window_layers = 28)
      : DecoderConfig(json, defaults) {
    windows = read_windows(json, num_hidden_layers, default_max_window_layers);
  }
};

/// The text model of Qwen2-VL and Qwen2.5-VL (Wang et al. 2024, Bai et al. 2025): the three positions of their rotary embeddings are equal
/// for text.
struct VlConfig : Config {
  explicit VlConfig(const ConfigReader& json)
      : Config(json, {.rms_norm_eps = 1e-5, .rope_theta = 1e6, .max_position_embeddings = 32768, .num_key_value_heads = 8}, 80) {}
};

template <class B>
struct Attention : GroupedQueryAttention<B> {
  Attention(const Weights<B>& w, const Config& c, int64_t layer)
      : GroupedQueryAttention<B>(w, c.attention(layer, /*qkv_bias=*/true, /*o_bias=*/false)) {}
};

template <class B>
struct Mlp : GatedMlp<B> {
  Mlp(const Weights<B>& w, const DecoderConfig& c, int64_t) : GatedMlp<B>(w / "mlp", c.hidden_size, c.intermediate_size) {}
};

template <class B>
using Qwen2 = CausalLm<B, PreNormLayer<B, Attention<B>, Mlp<B>>>;

}  // namespace infernum::qwen2
