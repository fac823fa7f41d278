// Qwen3.5 (Qwen Team 2026): Qwen3-Next with separate projections, dense or with mixtures of experts; the text part of the multimodal
// models.
#pragma once
#include "models/qwen3_next.h"

namespace infernum::qwen3_5 {

struct Config : qwen3_next::Config {
  explicit Config(const ConfigReader& json) : qwen3_next::Config(json, /*fused=*/false, /*default_key_value_heads=*/4) {}
};

template <class B>
using Qwen3_5 = CausalLm<B, PreNormLayer<B, qwen3_next::Mixer<B>, qwen2::Mlp<B>>>;

struct MoeConfig : qwen3_next::MoeConfig {
  explicit MoeConfig(const ConfigReader& json) : qwen3_next::MoeConfig(json, /*fused=*/false) {}
};

template <class B>
using Qwen3_5Moe = CausalLm<B, PreNormLayer<B, qwen3_next::Mixer<B>, qwen3_next::MoeMlp<B>>>;

}  // namespace infernum::qwen3_5
