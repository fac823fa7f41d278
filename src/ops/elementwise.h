// Elementwise ops. Linear ones take any layout, the others only complete values.
#pragma once
#include "core/op.h"
#include "ops/kernels.h"

namespace infernum {

/// y = a + b; shapes and dtypes equal. Partial + Partial is legal and saves a collective.
template <class B, Layout L>
Tensor<B, L> add(const Tensor<B, L>& a, const Tensor<B, L>& b) {
  check(a.shape() == b.shape() && a.dtype() == b.dtype(), "add: shapes and dtypes must be equal", a.shape(), a.dtype(), b.shape(),
        b.dtype());
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

/// y = x * sigmoid(x).
template <class B, Complete L>
Tensor<B, L> silu(const Tensor<B, L>& x) {
  auto y = empty_like(x);
  run<Silu>(y, x);
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
