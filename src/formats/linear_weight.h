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

/// y (T, heads * n): head h of x (T, heads * k) times matrix h of the stack (heads, n, k), transposed. x's rows are contiguous.
template <Layout Out, class B, Layout In>
Tensor<B, Out> multiply_heads(const Tensor<B, In>& x, const LinearWeight<B>& weight) {
  const Shape stack = std::visit([](const auto& w) { return w.w.shape(); }, weight);
  check(stack.rank() == 3 && x.shape().rank() == 2 && x.shape()[1] == stack[0] * stack[2],
        "multiply_heads: x (T, heads * k) and the stack (heads, n, k) must fit", x.shape(), stack);
  const int64_t tokens = x.shape()[0], heads = stack[0];
  const auto y = multiply_experts<Out>(x.reshape({tokens * heads, stack[2]}), weight, head_ids(x.device(), tokens, heads));
  return y.reshape({tokens, heads * stack[1]});
}

}  // namespace infernum
