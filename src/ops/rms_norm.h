// Norms of rows: root mean square (Zhang and Sennrich 2019) and layer norm (Ba et al. 2016).
#pragma once
#include "core/op.h"
#include "ops/kernels.h"

namespace infernum {

/// Uninitialised, of x's shape and the dtype of a norm's output: rows of an F32 residual stream become activations of the device's dtype.
template <class B>
Tensor<B> empty_norm(const Tensor<B>& x) {
  return {x.device(), x.shape(), x.dtype() == DType::F32 ? x.device().dtype : x.dtype()};
}

/// RmsNorm of every run of head_dim elements of x's rows; w: head_dim weights, or none (no data).
template <class B, Complete L>
Tensor<B, L> norm_heads(const Tensor<B, L>& x, int64_t head_dim, const View<B>& w, float eps) {
  check(x.shape().rank() == 2 && head_dim > 0 && x.shape()[1] % head_dim == 0, "head_norm: rows must be whole heads", x.shape(), head_dim);
  const auto by_head = x.reshape({x.shape()[0], x.shape()[1] / head_dim, head_dim});
  auto y = empty_like(by_head);
  run<RmsNorm>(y, by_head, w, eps);
  return y.reshape(x.shape());
}

/// y (..., n) = x * w / sqrt(mean(x^2) + eps) over the last dimension; w (n) F32; accumulates in f32.
template <class B>
Tensor<B> rms_norm(const Tensor<B>& x, const Tensor<B>& w, float eps) {
  check(w.shape() == Shape{x.shape().last()} && w.dtype() == DType::F32, "rms_norm: weight must be F32 and match the last dimension",
        w.shape(), w.dtype(), x.shape());
  auto y = empty_norm(x);
  run<RmsNorm>(y, x, w, eps);
  return y;
}

/// The same without a weight.
template <class B>
Tensor<B> rms_norm(const Tensor<B>& x, float eps) {
  auto y = empty_norm(x);
  run<RmsNorm>(y, x, View<B>{}, eps);
  return y;
}

/// y (..., n) = (x - mean) / sqrt(variance + eps) * w over the last dimension; w (n) F32; statistics in f32, variance over n.
template <class B>
Tensor<B> layer_norm(const Tensor<B>& x, const Tensor<B>& w, float eps) {
  check(w.shape() == Shape{x.shape().last()} && w.dtype() == DType::F32, "layer_norm: weight must be F32 and match the last dimension",
        w.shape(), w.dtype(), x.shape());
  auto y = empty_norm(x);
  run<LayerNorm>(y, x, w, eps);
  return y;
}

/// rms_norm within every head of x (T, heads * head_dim), without a weight. Heads never span ranks, so a Shard is legal.
template <class B, Complete L>
Tensor<B, L> head_norm(const Tensor<B, L>& x, int64_t head_dim, float eps) {
  return norm_heads(x, head_dim, View<B>{}, eps);
}

/// The same with w (D): the query and key norm of Qwen3.
template <class B, Complete L>
Tensor<B, L> head_norm(const Tensor<B, L>& x, const Tensor<B>& w, float eps) {
  check(w.shape().rank() == 1 && w.dtype() == DType::F32, "head_norm: weight must be F32 and as long as a head", w.shape(), w.dtype());
  return norm_heads(x, w.shape()[0], w.view(), eps);
}

}  // namespace infernum
