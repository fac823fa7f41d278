// Qwen2 and Qwen2.5 (Yang et al. 2024): Llama with biases on q, k and v, and optionally a window on the upper layers.
#pragma once
#include "layers/attention.h"
#include "layers/causal_lm.h"
#include "layers/gated_mlp.h"
#include "layers/pre_norm_layer.h"
#include "models/config.h"

namespace infernum::qwen2 {

/// Per layer: `layer_types` if given, else a window from layer max_window_layers on; never without use_sliding_window.
inline std::vector<int> read_windows(const ConfigReader& json, int64_t layers, int64_t default_max_window_layers) {
  std::vector<int> windows(static_cast<size_t>(layers));
  const bool enabled = json.boolean("use_sliding_window").value_or(false) && json.has("sliding_window");
  const int64_t first = json.integer("max_window_layers").value_or(default_max_window_layers);
  const auto types = json.strings("layer_types");
  check(types.empty() || types.size() == windows.size(), "config.json: layer_types must name every layer", types.size(), layers);
  for (size_t i = 0; i < windows.size(); i++) {
    const std::string type = types.empty() ? (enabled && static_cast<int64_t>(i) >= first ? "sliding_attention" : "full_attention") : types[i];
    check(type == "full_attention" || type == "sliding_attention", "config.json: layer_types in this family: full_attention, sliding_attention", type);
    if (type == "sliding_attention") windows[i] = static_cast<int>(json.size("sliding_window"));
  }
  return windows;
}

struct Config : DecoderConfig {
  explicit Config(const ConfigReader& json) : DecoderConfig(json) { windows = read_windows(json, num_hidden_layers, 28); }
};

template <class B>
struct Attention {
  ColLinear<B> q_proj, k_proj, v_proj;
  RowLinear<B> o_proj;
  RopeParams rope_params;
  AttentionParams params;

  Attention(const Weights<B>& w, const Config& c, int64_t layer)
      : q_proj(w / "q_proj", c.num_attention_heads * c.head_dim, c.hidden_size, /*bias=*/true),
        k_proj(w / "k_proj", c.num_key_value_heads * c.head_dim, c.hidden_size, /*bias=*/true),
        v_proj(w / "v_proj", c.num_key_value_heads * c.head_dim, c.hidden_size, /*bias=*/true),
        o_proj(w / "o_proj", c.hidden_size, c.num_attention_heads * c.head_dim),
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
  Mlp(const Weights<B>& w, const DecoderConfig& c, int64_t) : GatedMlp<B>(w / "mlp", c.hidden_size, c.intermediate_size) {}
};

template <class B>
using Qwen2 = CausalLm<B, PreNormLayer<B, Attention<B>, Mlp<B>>>;

}  // namespace infernum::qwen2
