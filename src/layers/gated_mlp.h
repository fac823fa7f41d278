// The gated MLP (Shazeer 2020): down(activation(gate(x)) * up(x)).
#pragma once
#include "blocks/swiglu.h"
#include "layers/linear.h"

namespace infernum {

/// Activation: the block that joins gate and up.
template <class B, class Activation = SwiGlu>
struct GatedMlp {
  ColLinear<B> gate_proj, up_proj;
  RowLinear<B> down_proj;
  /// gate_proj and up_proj (intermediate_size, hidden_size), down_proj (hidden_size, intermediate_size).
  GatedMlp(const Weights<B>& w, int64_t hidden_size, int64_t intermediate_size, bool bias = false)
      : gate_proj(w / "gate_proj", intermediate_size, hidden_size, bias),
        up_proj(w / "up_proj", intermediate_size, hidden_size, bias),
        down_proj(w / "down_proj", hidden_size, intermediate_size, bias) {}
  /// Gate and up as rows of one matrix gate_up_proj (2 * intermediate_size, hidden_size).
  struct Fused {};
  GatedMlp(Fused, const Weights<B>& w, int64_t hidden_size, int64_t intermediate_size)
      : gate_proj(w / "gate_up_proj", 2 * intermediate_size, 0, intermediate_size, hidden_size),
        up_proj(w / "gate_up_proj", 2 * intermediate_size, intermediate_size, intermediate_size, hidden_size),
        down_proj(w / "down_proj", hidden_size, intermediate_size) {}
  Tensor<B, Partial> operator()(const Tensor<B>& x) const {
    const auto gate = gate_proj(x);
    const auto up = up_proj(x);
    return down_proj(Activation{}(gate, up));
  }
};

}  // namespace infernum
