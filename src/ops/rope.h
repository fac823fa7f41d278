// Positions in attention: rotary embeddings (Su et al. 2021), with one table of angles per step for every layer, and position_scale.
#pragma once
#include "core/op.h"
#include "ops/kernels.h"

namespace infernum {

/// table (T, d) F32 = [cos | sin](positions (T) I32 * inv_freq (d/2) F32) * scale.
template <class B>
Tensor<B> rope_table(const Tensor<B>& positions, const Tensor<B>& inv_freq, float scale) {
  check(positions.dtype() == DType::I32 && inv_freq.dtype() == DType::F32, "rope_table: I32 positions, F32 frequencies", positions.dtype(),
        inv_freq.dtype());
  Tensor<B> table(positions.device(), {positions.shape()[0], 2 * inv_freq.shape()[0]}, DType::F32);
  run<RopeTable>(table, positions, inv_freq, scale);
  return table;
}

/// x (T, heads * D) with the first d = table columns of every head rotated; the rest passes through.
template <class B, Complete L>
Tensor<B, L> rope(const Tensor<B, L>& x, const Tensor<B>& table, RopeParams p) {
  check(x.shape().rank() == 2 && p.head_dim > 0 && x.shape()[1] % p.head_dim == 0, "rope: rows must be whole heads", x.shape(), p.head_dim);
  check(table.shape()[0] == x.shape()[0] && table.shape()[1] <= p.head_dim, "rope: a table row per token, not wider than a head",
        table.shape(), x.shape());
  auto y = empty_like(x);
  run<Rope>(y, x, table, p);
  return y;
}

/// y[t, :] = x (T, n)[t, :] * (1 + beta * ln(1 + floor((positions (T) I32 [t] + offset) / floor_scale))): the temperature of long contexts.
template <class B, Layout L>
Tensor<B, L> position_scale(const Tensor<B, L>& x, const Tensor<B>& positions, PositionScaleParams p) {
  check(x.shape().rank() == 2 && positions.shape() == Shape{x.shape()[0]} && positions.dtype() == DType::I32,
        "position_scale: an I32 position per row", x.shape(), positions.shape(), positions.dtype());
  check(p.floor_scale > 0 && p.offset >= 0, "position_scale: a positive floor_scale, an offset that is not negative", p.floor_scale,
        p.offset);
  auto y = empty_like(x);
  run<PositionScale>(y, x, positions, p);
  return y;
}

}  // namespace infernum
