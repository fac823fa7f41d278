// Llama 4 (Meta AI 2025), the text model: rotary layers see their chunk of the sequence, every fourth layer sees all of it without
// positions (NoPE); every layer or every other is a mixture whose experts see their token times its weight, beside a shared expert.
#pragma once
#include "layers/causal_lm.h"
#include "layers/experts.h"
#include "layers/pre_norm_layer.h"
#include "models/config.h"

namespace infernum::llama4 {

struct Config : DecoderConfig {
  int64_t intermediate_size_mlp, num_local_experts, num_experts_per_tok;
  bool attention_bias, use_qk_norm, attn_temperature_tuning;
  PositionScaleParams position_scale;  ///< of the queries of layers without rotary embeddings
  std::vector<int> chunks;             ///< per layer: positions that see each other, 0 for all
  std::vector<bool> sparse;            ///< per layer

  explicit Config(const ConfigReader& json);
  AttentionShape attention(int64_t layer) const {
    AttentionShape shape = DecoderConfig::attention(layer, attention_bias, attention_bias);
    shape.params.chunk = chunks[static_cast<size_t>(layer)];
    return shape;
  }
};

template <class B>
struct Attention : GroupedQueryAttention<B> {
  bool norm, temperature;
  PositionScaleParams scale;
  float eps;

  Attention(const Weights<B>& w, const Config& c, int64_t layer)
      : GroupedQueryAttention<B>(w, c.attention(layer)),
        norm(c.use_qk_norm && this->shape.rope_table != AttentionShape::no_rope),
        temperature(c.attn_temperature_tuning && this->shape.rope_table == AttentionShape::no_rope),
        scale(c.position_scale),
        eps(c.rms_norm_eps) {}

  /// x (T, H) -> (T, H), still to be reduced over ranks.
  Tensor<B, Partial> operator()(const Tensor<B>& x, const Step<B>& step, const LayerState<B>& kv) const {
    auto q = rotate(this->q_proj(x), this->shape, step);
    auto k = rotate(this->k_proj(x), this->shape, step);
    const auto v = this->v_proj(x);
    if (norm) {
      q = head_norm(q, this->shape.params.head_dim, eps);
      k = head_norm(k, this->shape.params.head_dim, eps);
    }
    if (temperature) q = position_scale(q, step.batch.positions, scale);
    const auto o = cache_and_attend(q, k, v, this->shape, step, kv);
    return this->o_proj(o);
  }
};

template <class B>
struct Mlp : EitherMlp<GatedMlp<B>, SharedExpertMlp<B>> {
  using Either = EitherMlp<GatedMlp<B>, SharedExpertMlp<B>>;
  Mlp(const Weights<B>& w, const Config& c, int64_t layer) : Either{make(w / "feed_forward", c, c.sparse[static_cast<size_t>(layer)])} {}

 private:
  static typename Either::Kind make(const Weights<B>& w, const Config& c, bool sparse) {
    if (!sparse) return GatedMlp<B>(w, c.hidden_size, c.intermediate_size_mlp);
    const MixtureShape shape{.hidden_size = c.hidden_size,
                             .experts = c.num_local_experts,
                             .width = c.intermediate_size,
                             .route = {.top_k = static_cast<int>(c.num_experts_per_tok), .scoring = RouteParams::Sigmoid},
                             .weights_inputs = true};
    return SharedExpertMlp<B>{SparseMlp<B>(w / "router", w / "experts", shape),
                              GatedMlp<B>(w / "shared_expert", c.hidden_size, c.intermediate_size)};
  }
};

template <class B>
using Llama4 = CausalLm<B, PreNormLayer<B, Attention<B>, Mlp<B>>>;

}  // namespace infernum::llama4
