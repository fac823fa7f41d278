// Gemma 2 (Gemma Team 2024): norms before and after every sublayer, a window on every other layer, soft caps on scores and logits.
#pragma once
#include "blocks/geglu.h"
#include "core/half.h"
#include "layers/causal_lm.h"
#include "layers/gated_mlp.h"
#include "layers/sandwich_layer.h"
#include "models/config.h"

namespace infernum::gemma2 {

inline constexpr ConfigDefaults defaults{.vocab_size = 256000,
                                         .num_attention_heads = 8,
                                         .head_dim = 256,
                                         .tie_word_embeddings = true,
                                         .activation = "gelu_pytorch_tanh",
                                         .max_position_embeddings = 8192,
                                         .num_key_value_heads = 4};

/// Embeddings are multiplied by sqrt(H), rounded as the weights of the published checkpoints are.
inline float embedding_multiplier(int64_t hidden_size) {
  return static_cast<float>(BF16(static_cast<float>(std::sqrt(static_cast<double>(hidden_size)))));
}

/// 0, no cap, for null; `absent` without the key.
inline float read_softcap(const ConfigReader& json, const char* key, double absent) {
  const double cap = json.is_null(key) ? 0 : json.number(key).value_or(absent);
  check(cap >= 0, "config.json: a soft cap is positive", key, "=", cap);
  return static_cast<float>(cap);
}

inline void refuse_bidirectional(const ConfigReader& json) {
  check(!json.boolean("use_bidirectional_attention").value_or(false),
        "config.json: use_bidirectional_attention = true makes an encoder; implemented: causal attention");
}

struct Config : DecoderConfig {
  bool attention_bias;
  float attn_logit_softcapping;
  double query_pre_attn_scalar;

  explicit Config(const ConfigReader& json, const ConfigDefaults& shared = defaults, double default_attn_softcap = 50,
                  double default_logit_softcap = 30)
      : DecoderConfig(json, shared),
        attention_bias(json.boolean("attention_bias").value_or(false)),
        attn_logit_softcapping(read_softcap(json, "attn_logit_softcapping", default_attn_softcap)),
        query_pre_attn_scalar(json.number("query_pre_attn_scalar").value_or(256)) {
    zero_centred_norm = true;
    embedding_scale = embedding_multiplier(hidden_size);
    logit_softcap = read_softcap(json, "final_logit_softcapping", default_logit_softcap);
    check(query_pre_attn_scalar > 0, "config.json: query_pre_attn_scalar is positive", query_pre_attn_scalar);
    refuse_bidirectional(json);
    set_windows(json, [](int64_t layer) { return layer % 2 == 0 ? "sliding_attention" : "full_attention"; });
  }

  AttentionShape attention(int64_t layer) const {
    auto shape = DecoderConfig::attention(layer, attention_bias, attention_bias);
    shape.params.scale = static_cast<float>(1 / std::sqrt(query_pre_attn_scalar));
    shape.params.softcap = attn_logit_softcapping;
    return shape;
  }

 protected:
  void set_windows(const ConfigReader& json, const std::function<std::string(int64_t)>& derived) {
    windows = windows_of(json, read_layer_types(json, num_hidden_layers, {"full_attention", "sliding_attention"}, derived), 4096);
  }
};

template <class B>
struct Attention : GroupedQueryAttention<B> {
  Attention(const Weights<B>& w, const Config& c, int64_t layer) : GroupedQueryAttention<B>(w, c.attention(layer)) {}
};

template <class B>
struct Mlp : GatedMlp<B, GeGlu> {
  Mlp(const Weights<B>& w, const Config& c, int64_t) : GatedMlp<B, GeGlu>(w / "mlp", c.hidden_size, c.intermediate_size) {}
};

template <class B>
using Gemma2 = CausalLm<B, SandwichLayer<B, Attention<B>, Mlp<B>>>;

}  // namespace infernum::gemma2
