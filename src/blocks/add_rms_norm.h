// Residual addition and the norm of the sum in one pass over the row.
#pragma once
#include "blocks/block.h"
#include "ops/elementwise.h"
#include "ops/rms_norm.h"

namespace infernum {

/// (h + x, rms_norm(h + x, w, eps)); the second output reads the sum before it is rounded. The sum has h's dtype, F32 or that of x.
struct AddRmsNorm : Block<AddRmsNorm> {
  static constexpr auto name = "add_rms_norm";
  template <class B>
  static std::tuple<Tensor<B>, Tensor<B>> out(const Tensor<B>& h, const Tensor<B>& x, const Tensor<B>& w, float) {
    check(h.shape() == x.shape() && w.shape() == Shape{h.shape().last()}, "add_rms_norm: shapes differ", h.shape(), x.shape(), w.shape());
    check((h.dtype() == x.dtype() || (h.dtype() == DType::F32 && is_float(x.dtype()))) && w.dtype() == DType::F32,
          "add_rms_norm: dtypes differ and the first is not F32, or the weight is not F32", h.dtype(), x.dtype(), w.dtype());
    return {empty_like(h), empty_norm(h)};
  }
  template <class B>
  static std::tuple<Tensor<B>, Tensor<B>> decomposed(const Tensor<B>& h, const Tensor<B>& x, const Tensor<B>& w, float eps) {
    auto sum = add(h, x);
    auto y = rms_norm(sum, w, eps);
    return {sum, y};
  }
};
inline constexpr AddRmsNorm add_rms_norm;
static_assert(HasKernel<AddRmsNorm, Cpu, Tensor<Cpu>, Tensor<Cpu>, Tensor<Cpu>, Tensor<Cpu>, Tensor<Cpu>, float>);

}  // namespace infernum
