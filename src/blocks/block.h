// Block: an op that can also explain itself. `decomposed` always works; a kernel line for the block's tag is its fused form.
#pragma once
#include <string>
#include <tuple>

#include "blocks/compare.h"
#include "core/op.h"

namespace infernum {

template <class Self, class B, class Out, class... A>
inline constexpr bool has_fused = HasKernel<Self, B, Out, A...>;
template <class Self, class B, class... Out, class... A>
inline constexpr bool has_fused<Self, B, std::tuple<Out...>, A...> = HasKernel<Self, B, Out..., A...>;

/// Self provides: name; out(args...) = uninitialised output(s); decomposed(args...) = the definition in terms of other ops.
template <class Self>
struct Block {
  static constexpr bool is_block = true;

  // S, because clang 14 judges a constraint on Self while Self is still incomplete.
  template <class B, Layout L, class... A, class S = Self>
  requires requires(const Tensor<B, L>& x, const A&... a) { S::out(x, a...); }
  auto operator()(const Tensor<B, L>& x, const A&... a) const {
    using Out = decltype(Self::out(x, a...));
    if constexpr (std::same_as<B, Trace>) {
      return traced(*x.device().queue, x, a...);
    } else if constexpr (has_fused<Self, B, Out, Tensor<B, L>, A...>) {
      if (x.device().fusion == Fusion::Off) return Self::decomposed(x, a...);
      Out y = Self::out(x, a...);
      run_into(y, x, a...);
      if (x.device().fusion == Fusion::Check) compare(Self::name, y, Self::decomposed(x, a...));
      return y;
    } else {
      return Self::decomposed(x, a...);
    }
  }

 private:
  /// The graph shows the block and its parts, and knows what the fused form would be called with.
  template <class TraceQueue, class T, class... A>
  static auto traced(TraceQueue& queue, const T& x, const A&... a) {
    const size_t first = queue.graph.nodes.size();
    auto y = [&] {
      const auto scope = enter_scope(queue, Self::name);
      return Self::decomposed(x, a...);
    }();
    const auto add = [&](const auto&... outputs) {
      add_block(queue, first, make_node<Self>(queue, sizeof...(outputs), plain(outputs)..., plain(x), plain(a)...));
    };
    if constexpr (requires { std::tuple_size<decltype(y)>::value; })
      std::apply(add, y);
    else
      add(y);
    return y;
  }

  template <class... Y, class... A>
  static void run_into(const std::tuple<Y...>& y, const A&... a) {
    std::apply([&](const auto& first, const auto&... rest) { run<Self>(first, rest..., a...); }, y);
  }
  template <class Y, class... A>
  static void run_into(const Y& y, const A&... a) {
    run<Self>(y, a...);
  }
};

}  // namespace infernum
