// Qwen3 and Qwen3-MoE (Yang et al. 2025): queries and keys are normalised per head before rotation; MLPs may be mixtures of experts.
#pragma once
#include <algorithm>

#include "layers/experts.h"
#include "layers/qk_norm_attention.h"
#include "models/qwen2.h"

namespace infernum::qwen3 {

struct Config : DecoderConfig {
  bool attention_bias;
  explicit Config(const ConfigReader& json,
                  const ConfigDefaults& defaults = {.head_dim = 128, .max_position_embeddings = 32768, .num_key_value_heads = 32})
      : DecoderConfig(json, defaults), attention_bias(json.boolean("attention_bias").value_or(false)) {
    windows = qwen2::read_windows(json, num_hidden_layers, 28);
  }
};

/// The text model of Qwen3-VL (Qwen Team 2025): the three positions of its rotary embeddings are equal for text.
struct VlConfig : Config {
  explicit VlConfig(const ConfigReader& json)
      : Config(json, {.head_dim = 128, .rope_theta = 500000, .max_position_embeddings = 128000, .num_key_value_heads = 32}) {}
};

/// Which layers are mixtures of experts; the others are dense.
struct SparseLayers {
  int64_t decoder_sparse_step;
  std::vector<double> mlp_only_layers;

  explicit SparseLayers(const ConfigReader& json)
      : decoder_sparse_step(json.size("decoder_sparse_step", 1)), mlp_only_layers(json.numbers("mlp_only_layers")) {}

  bool is_sparse(int64_t layer) const {
    const bool dense = std::find(mlp_only_layers.begin(), mlp_only_layers.end(), static_cast<double>(layer)) != mlp_only_layers.end();
    return !dense && (layer + 1) % decoder_sparse_step == 0;
  }
};

struct MoeConfig : Config, SparseLayers {
  int64_t num_experts, num_experts_per_tok, moe_intermediate_size;
  bool norm_topk_prob;
  explicit MoeConfig(const ConfigReader& json)
      : Config(json, {.max_position_embeddings = 32768, .num_key_value_heads = 4}),
        SparseLayers(json),
        num_experts(json.has("num_experts") ? json.size("num_experts") : json.size("num_local_experts", 128)),
        num_experts_per_tok(json.size("num_experts_per_tok", 8)),
        moe_intermediate_size(json.size("moe_intermediate_size", 768)),
        norm_topk_prob(json.boolean("norm_topk_prob").value_or(false)) {
    check_experts(num_experts, num_hidden_layers);
  }
};

template <class B>
struct Attention : QkNormAttention<B> {
  Attention(const Weights<B>& w, const Config& c, int64_t layer)
      : QkNormAttention<B>(w, c.attention(layer, c.attention_bias, c.attention_bias), c.rms_norm_eps) {}
};

/// A mixture of experts, or in some layers of the same model a dense MLP.
template <class B>
struct MoeMlp : EitherMlp<GatedMlp<B>, SparseMlp<B>> {
  using Either = EitherMlp<GatedMlp<B>, SparseMlp<B>>;
  MoeMlp(const Weights<B>& w, const MoeConfig& c, int64_t layer) : Either{make(w / "mlp", c, c.is_sparse(layer))} {}

 private:
  static typename Either::Kind make(const Weights<B>& w, const MoeConfig& c, bool sparse) {
    if (!sparse) return GatedMlp<B>(w, c.hidden_size, c.intermediate_size);
    const MixtureShape shape{.hidden_size = c.hidden_size,
                             .experts = c.num_experts,
                             .width = c.moe_intermediate_size,
                             .route = {.top_k = static_cast<int>(c.num_experts_per_tok), .renormalise = c.norm_topk_prob}};
    return SparseMlp<B>(w / "gate", w / "experts", shape);
  }
};

template <class B>
using Qwen3 = CausalLm<B, PreNormLayer<B, Attention<B>, qwen2::Mlp<B>>>;
template <class B>
using Qwen3Moe = CausalLm<B, PreNormLayer<B, Attention<B>, MoeMlp<B>>>;

}  // namespace infernum::qwen3
