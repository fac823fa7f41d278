// PreNormLayer: the sequential residual layer with a norm before attention and before the MLP (Xiong et al. 2020; Llama and its kin).
#pragma once
#include "blocks/add_rms_norm.h"
#include "layers/norm.h"
#include "ops/batch.h"
#include "ops/collectives.h"

namespace infernum {

/// Attention: from (w / "self_attn", config, index); (x, rope table, batch, cache) -> Partial. Mlp: from (w, config, index), naming its own
/// scope; x -> Partial.
template <class B, class Attention, class Mlp>
struct PreNormLayer {
  Norm<B> input_layernorm, post_attention_layernorm;
  Attention self_attn;
  Mlp mlp;

  template <class Config>
  PreNormLayer(const Weights<B>& w, const Config& c, int64_t index)
      : input_layernorm(w / "input_layernorm", c.hidden_size, c.rms_norm_eps),
        post_attention_layernorm(w / "post_attention_layernorm", c.hidden_size, c.rms_norm_eps),
        self_attn(w / "self_attn", c, index),
        mlp(w, c, index) {}

  Tensor<B> operator()(const Tensor<B>& h, const Tensor<B>& rope, const Batch<B>& batch, const KvLayer<B>& kv) const {
    const auto x = input_layernorm(h);
    const auto a = all_reduce(self_attn(x, rope, batch, kv));
    const auto [sum, y] = add_rms_norm(h, a, post_attention_layernorm.weight, post_attention_layernorm.eps);
    const auto m = all_reduce(mlp(y));
    return add(sum, m);
  }
};

}  // namespace infernum
