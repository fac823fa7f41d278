// Ministral 3 (Mistral AI 2025): Llama with YaRN and with queries that grow in steps of the trained length, so that attention over long
// contexts stays sharp (the temperature of Llama 4).
#pragma once
#include "models/llama.h"

namespace infernum::ministral3 {

struct Config : llama::Config {
  double llama_4_scaling_beta = 0.1;
  explicit Config(const ConfigReader& json)
      : llama::Config(json, {.head_dim = 128,
                             .rms_norm_eps = 1e-5,
                             .rope_theta = 1000000,
                             .max_position_embeddings = 262144,
                             .num_key_value_heads = 8,
                             .rope_keys = {"llama_4_scaling_beta", "max_position_embeddings"}}) {
    if (json.has("sliding_window")) windows.assign(windows.size(), static_cast<int>(json.size("sliding_window")));
    const char* spelling = json.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
    if (const auto parameters = json.object(spelling)) {
      llama_4_scaling_beta = parameters->number("llama_4_scaling_beta").value_or(0);
      return;
    }
    RopeConfig& rope = ropes[0];  // the reference's parameters where a file has none
    rope.rope_type = "yarn";
    rope.factor = 16;
    rope.original_max_position_embeddings = 16384;
    rope.mscale = rope.mscale_all_dim = 1;
  }
};

template <class B>
struct Attention : llama::Attention<B> {
  PositionScaleParams temperature;

  Attention(const Weights<B>& w, const Config& c, int64_t layer)
      : llama::Attention<B>(w, c, layer),
        temperature{static_cast<float>(c.llama_4_scaling_beta), static_cast<float>(c.ropes[0].original_max_position_embeddings)} {}

  /// x (T, H) -> (T, H), still to be reduced over ranks.
  Tensor<B, Partial> operator()(const Tensor<B>& x, const Step<B>& step, const LayerState<B>& kv) const {
    const auto q = position_scale(rotate(this->q_proj(x), this->shape, step), step.batch.positions, temperature);
    const auto k = rotate(this->k_proj(x), this->shape, step);
    const auto v = this->v_proj(x);
    const auto o = cache_and_attend(q, k, v, this->shape, step, kv);
    return this->o_proj(o);
  }
};

template <class B>
using Ministral3 = CausalLm<B, PreNormLayer<B, Attention<B>, llama::Mlp<B>>>;

}  // namespace infernum::ministral3
