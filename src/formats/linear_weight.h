// LinearWeight: the closed list of weight formats. The checkpoint picks the alternative; a listed format without a kernel does not compile.
#pragma once
#include <variant>

#include "formats/dense.h"
#include "formats/gguf_blocks.h"

namespace infernum {

template <class B>
using LinearWeight = std::variant<Dense<B>, GgufBlocks<B>>;

/// The first format that stores the tensor's dtype.
template <class B>
LinearWeight<B> load_weight(Device<B>& device, const StoredTensor& t) {
  if (Dense<B>::stores(t.dtype)) return Dense<B>::load(device, t);
  if (GgufBlocks<B>::stores(t.dtype)) return GgufBlocks<B>::load(device, t);
  fail("weights: no format for matrices of this dtype", t.name, t.dtype);
}

/// y = x * w^T, of `dtype` (ops/matmul.h).
template <Layout Out, class B, Layout In>
Tensor<B, Out> multiply(const Tensor<B, In>& x, const LinearWeight<B>& weight, std::optional<DType> dtype = {}) {
  return std::visit([&](const auto& w) { return w.template multiply<Out>(x, dtype); }, weight);
}

/// Rows of x through the experts that `ids` names (ops/matmul.h).
template <Layout Out, class B, Layout In>
Tensor<B, Out> multiply_experts(const Tensor<B, In>& x, const LinearWeight<B>& weight, const Tensor<B>& ids) {
  return std::visit([&](const auto& w) { return expert_matmul<Out>(x, w.w, ids); }, weight);
}

}  // namespace infernum
