// PreNormLayer: the sequential residual layer with a norm before attention and before the MLP (Xiong et al. 2020; Llama and its kin).
#pragma once
#include "blocks/add_rms_norm.h"
#include "layers/norm.h"
#include "layers/step.h"
#include "ops/collectives.h"
#include "ops/elementwise.h"

namespace infernum {

/// Attention: from (w / its scope by the config, config, index); (x, step, state) -> Partial. Mlp: from (w, config, index), naming its own
/// scope; x -> Partial.
template <class B, class Attention, class Mlp>
struct PreNormLayer {
  Norm<B> input_layernorm, post_attention_layernorm;
  Attention self_attn;
  Mlp mlp;
  float residual_multiplier;  ///< of what attention and MLP add to the residual stream (Granite)

  template <class Config>
  PreNormLayer(const Weights<B>& w, const Config& c, int64_t index)
      : input_layernorm(w / "input_layernorm", c.hidden_size, c.rms_norm_eps, c.zero_centred_norm),
        post_attention_layernorm(w / "post_attention_layernorm", c.hidden_size, c.rms_norm_eps, c.zero_centred_norm),
        self_attn(w / c.attention_scope(index), c, index),
        mlp(w, c, index),
        residual_multiplier(c.residual_multiplier) {}

  SequenceState state() const { return self_attn.state(); }

  Tensor<B> operator()(const Tensor<B>& h, const Step<B>& step, const LayerState<B>& state) const {
    const auto x = input_layernorm(h);
    const auto a = branch(self_attn(x, step, state));
    const auto [sum, y] = add_rms_norm(h, a, post_attention_layernorm.weight, post_attention_layernorm.eps);
    const auto m = branch(mlp(y));
    return add(sum, m);
  }

 private:
  Tensor<B> branch(Tensor<B, Partial> x) const {
    const auto sum = all_reduce(std::move(x));
    return residual_multiplier == 1 ? sum : scale(sum, residual_multiplier);
  }
};

}  // namespace infernum
