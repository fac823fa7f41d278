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

/// Matrices of one shape and dtype, in the first format that stores it.
template <class B>
Matrices<B> load_weights(Device<B>& device, const std::vector<StoredTensor>& list) {
  check(!list.empty(), "weights: at least one matrix");
  const StoredTensor& first = list.front();
  if (Dense<B>::stores(first.dtype)) return Dense<B>::load(device, list);
  if (GgufBlocks<B>::stores(first.dtype)) return GgufBlocks<B>::load(device, list);
  fail("weights: no format for matrices of this dtype", first.name, first.dtype);
}

/// y = x * w^T, of `dtype` (ops/matmul.h).
template <Layout Out, class B, Layout In>
Tensor<B, Out> multiply(const Tensor<B, In>& x, const LinearWeight<B>& weight, std::optional<DType> dtype = {}) {
  return std::visit([&](const auto& w) { return w.template multiply<Out>(x, dtype); }, weight);
}

}  // namespace infernum
