// Elementwise ops. Linear ones take any layout, the others only complete values.
#pragma once
#include "core/op.h"
#include "ops/kernels.h"

namespace infernum {

/// y = a + b in a's dtype; shapes equal, dtypes too, or a is F32: a residual stream wider than what is added to it. Partial + Partial is
/// legal and saves a collective.
template <class B, Layout L>
Tensor<B, L> add(const Tensor<B, L>& a, const Tensor<B, L>& b) {
  check(a.shape() == b.shape() && (a.dtype() == b.dtype() || (a.dtype() == DType::F32 && is_float(b.dtype()))),
        "add: shapes and dtypes must be equal, or the first F32", a.shape(), a.dtype(), b.shape(), b.dtype());
  auto y = empty_like(a);
  run<Add>(y, a, b);
  return y;
}

/// y = a * b; shapes and dtypes equal.
template <class B, Complete L>
Tensor<B, L> mul(const Tensor<B, L>& a, const Tensor<B, L>& b) {
  check(a.shape() == b.shape() && a.dtype() == b.dtype(), "mul: shapes and dtypes must be equal", a.shape(), a.dtype(), b.shape(),
        b.dtype());
  auto y = empty_like(a);
  run<Mul>(y, a, b);
  return y;
}

/// y = Op(x, arguments...), element by element.
template <class Op, class B, Layout L, class... A>
Tensor<B, L> map_elements(const Tensor<B, L>& x, A... arguments) {
  auto y = empty_like(x);
  run<Op>(y, x, arguments...);
  return y;
}

/// y = x * sigmoid(x).
template <class B, Complete L>
Tensor<B, L> silu(const Tensor<B, L>& x) {
  return map_elements<Silu>(x);
}

/// y = 1 / (1 + e^-x).
template <class B, Complete L>
Tensor<B, L> sigmoid(const Tensor<B, L>& x) {
  return map_elements<Sigmoid>(x);
}

/// y = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))).
template <class B, Complete L>
Tensor<B, L> gelu_tanh(const Tensor<B, L>& x) {
  return map_elements<GeluTanh>(x);
}

/// y = x / 2 * (1 + erf(x / sqrt(2))).
template <class B, Complete L>
Tensor<B, L> gelu(const Tensor<B, L>& x) {
  return map_elements<Gelu>(x);
}

/// y = c * tanh(x / c), c > 0: x squeezed into -c..c.
template <class B, Complete L>
Tensor<B, L> softcap(const Tensor<B, L>& x, float c) {
  check(c > 0, "softcap: the cap must be positive", c);
  return map_elements<Softcap>(x, c);
}

/// y = x kept within low..high; NaN stays NaN.
template <class B, Complete L>
Tensor<B, L> clamp(const Tensor<B, L>& x, float low, float high) {
  check(low <= high, "clamp: an empty range", low, high);
  return map_elements<Clamp>(x, low, high);
}

/// y = s * x.
template <class B, Layout L>
Tensor<B, L> scale(const Tensor<B, L>& x, float s) {
  return map_elements<Scale>(x, s);
}

/// y[t, :] = x (T, n)[t, :] * s (T, 1)[t]; s of any float type.
template <class B, Layout L>
Tensor<B, L> scale_rows(const Tensor<B, L>& x, const Tensor<B>& s) {
  check(x.shape().rank() == 2 && s.shape() == Shape{x.shape()[0], 1} && is_float(s.dtype()), "scale_rows: one factor per row", x.shape(),
        s.shape(), s.dtype());
  auto y = empty_like(x);
  run<ScaleRows>(y, x, s);
  return y;
}

/// y (..., n) = x (..., n) + bias (n), bias F32. For a Partial x add it on one rank only: Linear does.
template <class B, Layout L, Layout LB>
Tensor<B, L> add_bias(const Tensor<B, L>& x, const Tensor<B, LB>& bias) {
  check(bias.shape() == Shape{x.shape().last()} && bias.dtype() == DType::F32, "add_bias: F32 and as long as a row", x.shape(),
        bias.shape(), bias.dtype());
  auto y = empty_like(x);
  run<AddBias>(y, x, bias);
  return y;
}

}  // namespace infernum
