// SandwichLayer: the sequential residual layer with a norm before and after attention and MLP (Ding et al. 2021; Gemma 2, GLM-4).
#pragma once
#include "blocks/add_rms_norm.h"
#include "layers/norm.h"
#include "layers/step.h"
#include "ops/collectives.h"

namespace infernum {

/// Names of the four norms in a checkpoint, in the order of their use.
struct SandwichNames {
  std::string_view before_attention = "input_layernorm", after_attention = "post_attention_layernorm",
                   before_mlp = "pre_feedforward_layernorm", after_mlp = "post_feedforward_layernorm";
};

/// Attention and Mlp as in PreNormLayer.
template <class B, class Attention, class Mlp>
struct SandwichLayer {
  Norm<B> before_attention, after_attention, before_mlp, after_mlp;
  Attention self_attn;
  Mlp mlp;

  template <class Config>
  SandwichLayer(const Weights<B>& w, const Config& c, int64_t index, const SandwichNames& names = {})
      : before_attention(w / names.before_attention, c.hidden_size, c.rms_norm_eps, c.zero_centred_norm),
        after_attention(w / names.after_attention, c.hidden_size, c.rms_norm_eps, c.zero_centred_norm),
        before_mlp(w / names.before_mlp, c.hidden_size, c.rms_norm_eps, c.zero_centred_norm),
        after_mlp(w / names.after_mlp, c.hidden_size, c.rms_norm_eps, c.zero_centred_norm),
        self_attn(w / "self_attn", c, index),
        mlp(w, c, index) {}

  SequenceState state() const { return self_attn.state(); }

  Tensor<B> operator()(const Tensor<B>& h, const Step<B>& step, const LayerState<B>& state) const {
    const auto x = before_attention(h);
    const auto a = after_attention(all_reduce(self_attn(x, step, state)));
    const auto [sum, y] = add_rms_norm(h, a, before_mlp.weight, before_mlp.eps);
    const auto m = after_mlp(all_reduce(mlp(y)));
    return add(sum, m);
  }
};

}  // namespace infernum
