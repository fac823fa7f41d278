// Root mean square layer norm (Zhang and Sennrich 2019).
#pragma once
#include "core/op.h"
#include "ops/kernels.h"

namespace infernum {

/// y (..., n) = x * w / sqrt(mean(x^2) + eps) over the last dimension; w (n) F32; accumulates in f32.
template <class B>
Tensor<B> rms_norm(const Tensor<B>& x, const Tensor<B>& w, float eps) {
  check(w.shape() == Shape{x.shape().last()} && w.dtype() == DType::F32, "rms_norm: weight must be F32 and match the last dimension",
        w.shape(), w.dtype(), x.shape());
  auto y = empty_like(x);
  run<RmsNorm>(y, x, w, eps);
  return y;
}

/// The same within every head of x (T, heads * D), w (D): the query and key norm of Qwen3. Heads never span ranks, so a Shard is legal.
template <class B, Complete L>
Tensor<B, L> head_norm(const Tensor<B, L>& x, const Tensor<B>& w, float eps) {
  check(x.shape().rank() == 2 && w.shape().rank() == 1 && x.shape()[1] % w.shape()[0] == 0, "head_norm: rows must be whole heads",
        x.shape(), w.shape());
  const Shape heads{x.shape()[0], x.shape()[1] / w.shape()[0], w.shape()[0]};
  const auto by_head = x.reshape(heads);
  auto y = empty_like(by_head);
  run<RmsNorm>(y, by_head, w, eps);
  return y.reshape(x.shape());
}

}  // namespace infernum
