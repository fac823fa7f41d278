// run<Op>(): from tensors to the kernel that ops/kernels.h lists for their backend.
#pragma once
#include <concepts>

#include "core/tensor.h"

namespace infernum {

/// Kernels see views and scalars; layouts end here.
template <class B, Layout L>
View<B> plain(const Tensor<B, L>& t) { return t.view(); }
template <class T>
const T& plain(const T& value) { return value; }

template <class Op, class B, class... A>
concept HasKernel = requires(Queue<B>& q, const A&... a) { kernel(Op{}, q, plain(a)...); };

/// Runs Op's kernel on the device of the first tensor; outputs come first, then inputs, then scalars.
template <class Op, class B, Layout L, class... A>
void run(const Tensor<B, L>& first, const A&... rest) {
  static_assert(HasKernel<Op, B, Tensor<B, L>, A...>, "no kernel for this op on this backend: see ops/kernels.h");
  if constexpr (HasKernel<Op, B, Tensor<B, L>, A...>) {
    kernel(Op{}, *first.device().queue, first.view(), plain(rest)...);
    if (first.device().op_observer) [[unlikely]]
      first.device().op_observer(Op::name, first.view());
  }
}

}  // namespace infernum
