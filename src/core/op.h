// run<Op>(): from tensors to the kernel that ops/kernels.h lists for their backend.
#pragma once
#include <chrono>
#include <concepts>
#include <functional>
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

/// Tells a device's op_timer, if there is one, how long it lived.
class OpTimer {
 public:
  using Callback = std::function<void(std::string_view op, double seconds)>;
  OpTimer(const Callback& callback, std::string_view op) : callback_(callback), op_(op) {
    if (callback_) [[unlikely]]
      start_ = std::chrono::steady_clock::now();
  }
  ~OpTimer() {
    if (callback_) [[unlikely]]
      callback_(op_, std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count());
  }
  OpTimer(const OpTimer&) = delete;
  OpTimer& operator=(const OpTimer&) = delete;

 private:
  const Callback& callback_;
  std::string_view op_;
  std::chrono::steady_clock::time_point start_;
};

/// Runs Op's kernel on the device of the first tensor; outputs come first, then inputs, then scalars.
template <class Op, class B, Layout L, class... A>
void run(const Tensor<B, L>& first, const A&... rest) {
  static_assert(HasKernel<Op, B, Tensor<B, L>, A...>, "no kernel for this op on this backend: see ops/kernels.h");
  if constexpr (HasKernel<Op, B, Tensor<B, L>, A...>) {
    const auto& device = first.device();
    const OpTimer timer(device.op_timer, Op::name);
    kernel(Op{}, *device.queue, first.view(), plain(rest)...);
    if constexpr (requires { device.queue->synchronize(); })
      if (device.op_timer) [[unlikely]]
        device.queue->synchronize();  // so that the time is the op's, not that of its submission
    if (device.op_observer) [[unlikely]]
      device.op_observer(Op::name, first.view());
  }
}

}  // namespace infernum
