// Qwen3 and Qwen3-MoE (Yang et al. 2025): queries and keys are normalised per head before rotation; MLPs may be mixtures of experts.
#pragma once
#include <algorithm>
#include <variant>

#include "layers/experts.h"
#include "models/qwen2.h"

namespace infernum::qwen3 {

struct Config : DecoderConfig {
  bool attention_bias;
  explicit Config(const ConfigReader& json)
      : DecoderConfig(json, {.head_dim = 128}), attention_bias(json.boolean("attention_bias").value_or(false)) {
    windows = qwen2::read_windows(json, num_hidden_layers, 28);
  }
};

struct MoeConfig : Config {
  int64_t num_experts, num_experts_per_tok, moe_intermediate_size, decoder_sparse_step;
  bool norm_topk_prob;
  std::vector<double> mlp_only_layers;
  explicit MoeConfig(const ConfigReader& json)
      : Config(json),
        num_experts(json.has("num_experts") ? json.size("num_experts") : json.size("num_local_experts", 128)),
        num_experts_per_tok(json.size("num_experts_per_tok", 8)),
        moe_intermediate_size(json.size("moe_intermediate_size", 768)),
        decoder_sparse_step(json.size("decoder_sparse_step", 1)),
        norm_topk_prob(json.boolean("norm_topk_prob").value_or(false)),
        mlp_only_layers(json.numbers("mlp_only_layers")) {
    check_experts(num_experts, num_hidden_layers);
  }

  bool is_sparse(int64_t layer) const {
    const bool dense = std::find(mlp_only_layers.begin(), mlp_only_layers.end(), static_cast<double>(layer)) != mlp_only_layers.end();
    return !dense && (layer + 1) % decoder_sparse_step == 0;
  }
};

template <class B>
struct Attention : GroupedQueryAttention<B> {
  HeadNorm<B> q_norm, k_norm;

  Attention(const Weights<B>& w, const Config& c, int64_t layer)
      : GroupedQueryAttention<B>(w, c.attention(layer, c.attention_bias, c.attention_bias)),
        q_norm(w / "q_norm", c.head_dim, c.rms_norm_eps),
        k_norm(w / "k_norm", c.head_dim, c.rms_norm_eps) {}

  /// x (T, H) -> (T, H), still to be reduced over ranks.
  Tensor<B, Partial> operator()(const Tensor<B>& x, const Step<B>& step, const LayerState<B>& kv) const {
    const auto q = q_norm(this->q_proj(x));
    const auto k = k_norm(this->k_proj(x));
    const auto v = this->v_proj(x);
    const auto o = attend(q, k, v, this->shape, step, kv);
    return this->o_proj(o);
  }
};

/// A mixture of experts, or in some layers of the same model a dense MLP.
template <class B>
struct MoeMlp : EitherMlp<GatedMlp<B>, SparseMlp<B>> {
  MoeMlp(const Weights<B>& w, const MoeConfig& c, int64_t layer)
      : EitherMlp<GatedMlp<B>, SparseMlp<B>>{
            c.is_sparse(layer)
                ? Kind(SparseMlp<B>(w / "mlp" / "gate", w / "mlp" / "experts",
                                    {.hidden_size = c.hidden_size,
                                     .experts = c.num_experts,
                                     .width = c.moe_intermediate_size,
                                     .route = {.top_k = static_cast<int>(c.num_experts_per_tok), .renormalise = c.norm_topk_prob}}))
                : Kind(GatedMlp<B>(w / "mlp", c.hidden_size, c.intermediate_size))} {}

 private:
  using Kind = std::variant<GatedMlp<B>, SparseMlp<B>>;
};

template <class B>
using Qwen3 = CausalLm<B, PreNormLayer<B, Attention<B>, qwen2::Mlp<B>>>;
template <class B>
using Qwen3Moe = CausalLm<B, PreNormLayer<B, Attention<B>, MoeMlp<B>>>;

}  // namespace infernum::qwen3
