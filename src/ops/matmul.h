// Matrix products y = x * w^T. The caller states the layout of the result: rows of w split -> Shard, columns split -> Partial.
#pragma once
#include <optional>

#include "core/op.h"
#include "ops/kernels.h"
#include "ops/matrices.h"

namespace infernum {

template <class B, Layout L>
void check_matmul(const Tensor<B, L>& x, const Shape& w, const char* name) {
  check(x.shape().rank() == 2 && w.rank() == 2 && x.shape()[1] == w[1], "matmul: x (m, k) and w (n, k) must share k", name, x.shape(), w);
}

/// Of a product's elements where the caller does not say: a sum over ranks goes to the residual stream and is F32 like that, others keep
/// x's.
template <Layout Out, class B, Layout In>
DType product_dtype(const Tensor<B, In>& x) {
  return std::same_as<Out, Partial> ? DType::F32 : x.dtype();
}

/// y (m, n) = x (m, k) * w (n, k)^T; w F32, F16 or BF16. y is of `dtype`: x's or F32.
template <Layout Out, class B, Layout In>
Tensor<B, Out> matmul(const Tensor<B, In>& x, const Tensor<B>& w, std::optional<DType> dtype = {}) {
  check_matmul(x, w.shape(), "matmul");
  Tensor<B, Out> y(x.device(), {x.shape()[0], w.shape()[0]}, dtype.value_or(product_dtype<Out>(x)));
  run<MatMul>(y, x, w);
  return y;
}

/// The same for w in GGUF blocks or a packed form of them.
template <Layout Out, class B, Layout In>
Tensor<B, Out> block_matmul(const Tensor<B, In>& x, const Tensor<B>& w, std::optional<DType> dtype = {}) {
  check_matmul(x, w.shape(), "block_matmul");
  Tensor<B, Out> y(x.device(), {x.shape()[0], w.shape()[0]}, dtype.value_or(product_dtype<Out>(x)));
  run<BlockMatMul>(y, x, w);
  return y;
}

/// y (T*S, n): row p = x * w[ids[p]]^T, where x is (T, k): one row for all experts of a token, or (T*S, k): a row per expert. w: E
/// matrices (n, k); ids (T, S) I32.
template <Layout Out, class B, Layout In>
Tensor<B, Out> expert_matmul(const Tensor<B, In>& x, const Matrices<B>& w, const Tensor<B>& ids) {
  const int64_t pairs = ids.shape().elements();
  check(x.shape().rank() == 2 && x.shape()[1] == w.shape()[2], "expert_matmul: x (rows, k) and w (E, n, k) must share k", x.shape(),
        w.shape());
  check(x.shape()[0] == pairs || x.shape()[0] == ids.shape()[0], "expert_matmul: x has a row per token or per chosen expert", x.shape(),
        ids.shape());
  Tensor<B, Out> y(x.device(), {pairs, w.shape()[1]}, product_dtype<Out>(x));
  run<ExpertMatMul>(y, x, w.views(), ids);
  return y;
}

/// ids (tokens, heads) I32 that give head h matrix h.
template <class B>
Tensor<B> head_ids(Device<B>& device, int64_t tokens, int64_t heads) {
  Tensor<B> ids(device, {tokens, heads}, DType::I32);
  run<HeadIds>(ids);
  return ids;
}

/// y (T, heads * n): head h of x (T, heads * k) times matrix h of w (heads, n, k), transposed. x's rows are contiguous.
template <Layout Out, class B, Layout In>
Tensor<B, Out> multiply_heads(const Tensor<B, In>& x, const Matrices<B>& w) {
  const Shape s = w.shape();
  check(x.shape().rank() == 2 && x.shape()[1] == s[0] * s[2], "multiply_heads: x (T, heads * k) and w (heads, n, k) must fit", x.shape(),
        s);
  const int64_t tokens = x.shape()[0], heads = s[0];
  const auto y = expert_matmul<Out>(x.reshape({tokens * heads, s[2]}), w, head_ids(x.device(), tokens, heads));
  return y.reshape({tokens, heads * s[1]});
}

}  // namespace infernum
