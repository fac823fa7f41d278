// Fusion::Check: a fused result against the decomposed one.
#pragma once
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "backends/cpu/transfer.h"
#include "core/tensor.h"

namespace infernum {

/// Throws, naming the block, the element and both values, unless |fused - decomposed| <= tolerance * largest |decomposed| everywhere.
void check_equal(std::string_view block, DType dtype, const std::vector<float>& fused, const std::vector<float>& decomposed);

template <class B, Layout L>
void compare(std::string_view block, const Tensor<B, L>& fused, const Tensor<B, L>& decomposed) {
  check_equal(block, fused.dtype(), to_host(*fused.device().queue, fused.view()), to_host(*fused.device().queue, decomposed.view()));
}

template <class... Y>
void compare(std::string_view block, const std::tuple<Y...>& fused, const std::tuple<Y...>& decomposed) {
  [&]<size_t... I>(std::index_sequence<I...>) { (compare(block, std::get<I>(fused), std::get<I>(decomposed)), ...); }
  (std::index_sequence_for<Y...>{});
}

}  // namespace infernum
