// Phi-3, Phi-3.5 and Phi-4 (Abdin et al. 2024): Llama whose q, k, v and gate, up are stored as one matrix each. Long contexts use LongRoPE;
// Phi-4-mini rotates a part of every head.
#pragma once
#include "layers/causal_lm.h"
#include "layers/gated_mlp.h"
#include "layers/pre_norm_layer.h"
#include "models/config.h"

namespace infernum::phi3 {

struct Config : DecoderConfig {
  explicit Config(const ConfigReader& json) : DecoderConfig(json, {.rms_norm_eps = 1e-5, .max_position_embeddings = 4096}) {
    if (json.has("sliding_window")) windows.assign(windows.size(), static_cast<int>(json.size("sliding_window")));
    for (const char* key : {"attention_bias", "mlp_bias", "lm_head_bias"})
      check(!json.boolean(key).value_or(false), "config.json: this family has no biases", key);
    fix_longrope(json);
  }

  AttentionShape attention(int64_t layer) const {
    AttentionShape shape = DecoderConfig::attention(layer, /*qkv_bias=*/false, /*o_bias=*/false);
    shape.fused_qkv = true;
    return shape;
  }

 private:
  /// Early files say yarn where they mean longrope. The trained length is a key beside the rope parameters, 4096 when absent.
  void fix_longrope(const ConfigReader& json) {
    RopeConfig& rope = ropes[0];
    if (rope.rope_type == "yarn") rope.rope_type = "longrope";
    check(rope.rope_type == "default" || rope.rope_type == "longrope",
          "config.json: this family implements other rope types; implemented: default, longrope", rope.rope_type);
    rope.original_max_position_embeddings = json.size("original_max_position_embeddings", 4096);
    rope.factor = static_cast<double>(max_position_embeddings) / static_cast<double>(rope.original_max_position_embeddings);
    rope_frequencies(rope, max_position_embeddings);
  }
};

template <class B>
struct Attention : GroupedQueryAttention<B> {
  Attention(const Weights<B>& w, const Config& c, int64_t layer) : GroupedQueryAttention<B>(w, c.attention(layer)) {}
};

template <class B>
struct Mlp : GatedMlp<B> {
  Mlp(const Weights<B>& w, const DecoderConfig& c, int64_t)
      : GatedMlp<B>(typename GatedMlp<B>::Fused{}, w / "mlp", c.hidden_size, c.intermediate_size) {}
};

template <class B>
using Phi3 = CausalLm<B, PreNormLayer<B, Attention<B>, Mlp<B>>>;

}  // namespace infernum::phi3
