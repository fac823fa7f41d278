// gpt-oss (OpenAI 2025): a mixture in every layer, biases everywhere, a window on every other layer, and in each head a learned sink, a
// logit that takes attention away from all keys.
#pragma once
#include "blocks/clamped_swiglu.h"
#include "layers/causal_lm.h"
#include "layers/experts.h"
#include "layers/pre_norm_layer.h"
#include "models/config.h"

namespace infernum::gpt_oss {

struct Config : DecoderConfig {
  int64_t num_local_experts, num_experts_per_tok;
  bool attention_bias;
  float swiglu_limit;
  explicit Config(const ConfigReader& json);
};

template <class B>
struct Attention : GroupedQueryAttention<B> {
  Tensor<B, Shard> sinks;  ///< (Nq) F32

  Attention(const Weights<B>& w, const Config& c, int64_t layer)
      : GroupedQueryAttention<B>(w, c.attention(layer, c.attention_bias, c.attention_bias)),
        sinks(w.vector_part("sinks", c.num_attention_heads)) {}

  /// x (T, H) -> (T, H), still to be reduced over ranks.
  Tensor<B, Partial> operator()(const Tensor<B>& x, const Step<B>& step, const LayerState<B>& kv) const {
    const auto q = this->q_proj(x);
    const auto k = this->k_proj(x);
    const auto v = this->v_proj(x);
    const auto o = attend(q, k, v, this->shape, step, kv, {sinks});
    return this->o_proj(o);
  }
};

/// (clamp(up) + 1) * gate * sigmoid(1.702 gate), gate clamped from above.
struct Activation {
  float limit;
  template <class B>
  Tensor<B, Shard> operator()(const Tensor<B, Shard>& gate, const Tensor<B, Shard>& up) const {
    return clamped_swiglu(gate, up, 1.702f, limit);
  }
};

template <class B>
struct Mlp : SparseMlp<B, Activation> {
  Mlp(const Weights<B>& w, const Config& c, int64_t)
      : SparseMlp<B, Activation>(w / "mlp" / "router", w / "mlp" / "experts",
                                 {.hidden_size = c.hidden_size,
                                  .experts = c.num_local_experts,
                                  .width = c.intermediate_size,
                                  // A softmax over the chosen logits is one over all, divided by the sum of the chosen.
                                  .route = {.top_k = static_cast<int>(c.num_experts_per_tok), .renormalise = true},
                                  .router_bias = true,
                                  .expert_bias = true,
                                  .interleaved = true},
                                 {c.swiglu_limit}) {}
};

template <class B>
using GptOss = CausalLm<B, PreNormLayer<B, Attention<B>, Mlp<B>>>;

}  // namespace infernum::gpt_oss
