// Granite 3 (IBM 2024): Llama with four constants (Yang et al. 2022, maximal update parametrisation): on the embedding, on the scores of
// attention, on both branches of a layer and, as a divisor, on the logits.
#pragma once
#include "models/llama.h"

namespace infernum::granite {

struct Config : llama::Config {
  float attention_multiplier;
  explicit Config(const ConfigReader& json)
      : llama::Config(json), attention_multiplier(static_cast<float>(json.number("attention_multiplier").value_or(1))) {
    embedding_scale = static_cast<float>(json.number("embedding_multiplier").value_or(1));
    residual_multiplier = static_cast<float>(json.number("residual_multiplier").value_or(1));
    const double logits_scaling = json.number("logits_scaling").value_or(1);
    check(logits_scaling != 0, "config.json: logits are divided by logits_scaling, which must not be 0");
    logit_scale = static_cast<float>(1 / logits_scaling);
  }

  AttentionShape attention(int64_t layer) const {
    AttentionShape shape = DecoderConfig::attention(layer, attention_bias, attention_bias);
    shape.params.scale = attention_multiplier;
    return shape;
  }
};

template <class B>
struct Attention : GroupedQueryAttention<B> {
  Attention(const Weights<B>& w, const Config& c, int64_t layer) : GroupedQueryAttention<B>(w, c.attention(layer)) {}
};

template <class B>
using Granite = CausalLm<B, PreNormLayer<B, Attention<B>, llama::Mlp<B>>>;

}  // namespace infernum::granite
