// Gathering rows: token embeddings and the rows whose logits are wanted.
#pragma once
#include "core/op.h"
#include "ops/kernels.h"

namespace infernum {

/// y (T, H) = table (V, H)[ids (T) I32] in the device's activation dtype; table of floats or GGUF blocks.
template <class B>
Tensor<B> embed(const Tensor<B>& table, const Tensor<B>& ids) {
  check(table.shape().rank() == 2 && ids.dtype() == DType::I32, "embed: a matrix and I32 ids", table.shape(), ids.dtype());
  check(is_float(table.dtype()) || is_gguf_block(table.dtype()), "embed: a table of floats or GGUF blocks", table.dtype());
  Tensor<B> y(ids.device(), {ids.shape()[0], table.shape()[1]}, ids.device().dtype);
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

}  // namespace infernum
