// run<Op>(): from tensors to the kernel that ops/kernels.h lists for their backend.
#pragma once
#include <chrono>
#include <concepts>
#include <string_view>

#include "core/tensor.h"

namespace infernum {

/// Kernels see views and scalars; layouts end here.
template <class B, Layout L>
View<B> plain(const Tensor<B, L>& t) {
  return t.view();
}
template <class T>
const T& plain(const T& value) {
  return value;
}

template <class Op, class B, class... A>
concept HasKernel = requires(Queue<B>& q, const A&... a) {
  kernel(Op{}, q, plain(a)...);
};

/// Around the submission of an op's kernel, for a device with a timer. A queue that works behind the host's back has a clock of its own,
/// which tells the timer later.
template <class B>
std::chrono::steady_clock::time_point begin_timing(const Device<B>& device, std::string_view op) {
  if constexpr (requires { device.queue->begin_op(op); }) device.queue->begin_op(op);
  return std::chrono::steady_clock::now();
}
template <class B>
void end_timing(const Device<B>& device, std::string_view op, std::chrono::steady_clock::time_point start) {
  if constexpr (requires { device.queue->end_op(); })
    device.queue->end_op();
  else
    device.op_timer({op, start, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()});
}

/// Runs Op's kernel on the device of the first tensor; outputs come first, then inputs, then scalars.
template <class Op, class B, Layout L, class... A>
void run(const Tensor<B, L>& first, const A&... rest) {
  static_assert(HasKernel<Op, B, Tensor<B, L>, A...>, "no kernel for this op on this backend: see ops/kernels.h");
  if constexpr (HasKernel<Op, B, Tensor<B, L>, A...>) {
    const auto& device = first.device();
    std::chrono::steady_clock::time_point start;
    if (device.op_timer) [[unlikely]]
      start = begin_timing(device, Op::name);
    kernel(Op{}, *device.queue, first.view(), plain(rest)...);
    if (device.op_timer) [[unlikely]]
      end_timing(device, Op::name, start);
    if (device.op_observer) [[unlikely]]
      device.op_observer(Op::name, first.view());
  }
}

}  // namespace infernum
