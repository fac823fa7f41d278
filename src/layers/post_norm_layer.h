// PostNormLayer: the sequential residual layer whose norms stand behind attention and MLP, inside of the residual branch (OLMo 2, Walsh et
// al. 2024).
#pragma once
#include "layers/norm.h"
#include "layers/step.h"
#include "ops/collectives.h"
#include "ops/elementwise.h"

namespace infernum {

/// Attention and Mlp as in PreNormLayer.
template <class B, class Attention, class Mlp>
struct PostNormLayer {
  Attention self_attn;
  Norm<B> post_attention_layernorm, post_feedforward_layernorm;
  Mlp mlp;

  template <class Config>
  PostNormLayer(const Weights<B>& w, const Config& c, int64_t index)
      : self_attn(w / "self_attn", c, index),
        post_attention_layernorm(w / "post_attention_layernorm", c.hidden_size, c.rms_norm_eps),
        post_feedforward_layernorm(w / "post_feedforward_layernorm", c.hidden_size, c.rms_norm_eps),
        mlp(w, c, index) {}

  SequenceState state() const { return self_attn.state(); }

  Tensor<B> operator()(const Tensor<B>& h, const Step<B>& step, const LayerState<B>& state) const {
    const auto a = post_attention_layernorm(all_reduce(self_attn(h, step, state)));
    const auto sum = add(h, a);
    const auto m = post_feedforward_layernorm(all_reduce(mlp(sum)));
    return add(sum, m);
  }
};

}  // namespace infernum
