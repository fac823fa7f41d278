// ParallelLayer: attention and MLP read the same normed input and are added together (Wang and Komatsuzaki 2021; Command R).
#pragma once
#include "layers/norm.h"
#include "layers/step.h"
#include "ops/collectives.h"
#include "ops/elementwise.h"

namespace infernum {

/// Attention and Mlp as in PreNormLayer; InputNorm from (weights, hidden_size, eps).
template <class B, class Attention, class Mlp, class InputNorm = Norm<B>>
struct ParallelLayer {
  InputNorm input_layernorm;
  Attention self_attn;
  Mlp mlp;

  template <class Config>
  ParallelLayer(const Weights<B>& w, const Config& c, int64_t index)
      : input_layernorm(w / "input_layernorm", c.hidden_size, c.rms_norm_eps), self_attn(w / "self_attn", c, index), mlp(w, c, index) {}

  SequenceState state() const { return self_attn.state(); }

  Tensor<B> operator()(const Tensor<B>& h, const Step<B>& step, const LayerState<B>& state) const {
    const auto x = input_layernorm(h);
    const auto a = self_attn(x, step, state);
    const auto m = mlp(x);
    return add(h, all_reduce(add(a, m)));  // one reduction for both
  }
};

}  // namespace infernum
