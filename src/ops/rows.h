// Gathering: token embeddings, the rows whose logits are wanted, parts of every head.
#pragma once
#include "core/op.h"
#include "ops/kernels.h"

namespace infernum {

/// y (T, H) F32 = table (V, H)[ids (T) I32], the beginning of the residual stream; table of floats or GGUF blocks.
template <class B>
Tensor<B> embed(const Tensor<B>& table, const Tensor<B>& ids) {
  check(table.shape().rank() == 2 && ids.dtype() == DType::I32, "embed: a matrix and I32 ids", table.shape(), ids.dtype());
  check(is_float(table.dtype()) || is_gguf_block(table.dtype()), "embed: a table of floats or GGUF blocks", table.dtype());
  Tensor<B> y(ids.device(), {ids.shape()[0], table.shape()[1]}, DType::F32);
  run<Embed>(y, table, ids);
  return y;
}

/// y (n, H) = x (T, H)[rows (n) I32].
template <class B>
Tensor<B> take_rows(const Tensor<B>& x, const Tensor<B>& rows) {
  check(x.shape().rank() == 2 && rows.dtype() == DType::I32, "take_rows: a matrix and I32 rows", x.shape(), rows.dtype());
  Tensor<B> y(x.device(), {rows.shape()[0], x.shape()[1]}, x.dtype());
  run<TakeRows>(y, x, rows);
  return y;
}

/// y (T, heads * width): columns offset .. offset + width of every head of x (T, heads * stride). `heads` counts this rank's part.
template <class B, Complete L>
Tensor<B, L> slice_heads(const Tensor<B, L>& x, int64_t heads, int64_t offset, int64_t width) {
  check(x.shape().rank() == 2 && heads > 0 && x.shape()[1] % heads == 0, "slice_heads: rows must be whole heads", x.shape(), heads);
  check(is_float(x.dtype()), "slice_heads: floats", x.dtype());
  check(offset >= 0 && width >= 0 && offset + width <= x.shape()[1] / heads, "slice_heads: outside of a head", x.shape(), heads, offset,
        width);
  Tensor<B, L> y(x.device(), {x.shape()[0], heads * width}, x.dtype());
  run<SliceHeads>(y, x, heads, offset);
  return y;
}

/// y (T, heads * (m + n)): every head of a (T, heads * m) followed by that of b (T, heads * n). `heads` counts this rank's part.
template <class B, Complete L>
Tensor<B, L> concat_heads(const Tensor<B, L>& a, const Tensor<B, L>& b, int64_t heads) {
  check(a.shape().rank() == 2 && b.shape().rank() == 2 && a.shape()[0] == b.shape()[0], "concat_heads: matrices of equally many rows",
        a.shape(), b.shape());
  check(heads > 0 && a.shape()[1] % heads == 0 && b.shape()[1] % heads == 0, "concat_heads: rows must be whole heads", a.shape(), b.shape(),
        heads);
  check(is_float(a.dtype()) && a.dtype() == b.dtype(), "concat_heads: floats of one type", a.dtype(), b.dtype());
  Tensor<B, L> y(a.device(), {a.shape()[0], a.shape()[1] + b.shape()[1]}, a.dtype());
  run<ConcatHeads>(y, a, b, heads);
  return y;
}

}  // namespace infernum
