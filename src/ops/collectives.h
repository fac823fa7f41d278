// Changes of layout: collectives, and this rank's part of a value that all ranks hold. With one rank they move their argument.
#pragma once
#include <utility>

#include "core/op.h"
#include "ops/kernels.h"
#include "ops/rows.h"

namespace infernum {

/// The sum of a Partial over all ranks.
template <class B>
Tensor<B> all_reduce(Tensor<B, Partial> x) {
  if (x.device().ranks == 1) return relabel<Full>(std::move(x));
  Tensor<B> y(x.device(), x.shape(), x.dtype());
  run<AllReduce>(y, x);
  return y;
}

/// The shards (rows, n) of all ranks side by side: (rows, ranks * n).
template <class B>
Tensor<B> all_gather(Tensor<B, Shard> x) {
  if (x.device().ranks == 1) return relabel<Full>(std::move(x));
  Tensor<B> y(x.device(), x.shape().with_last(x.shape().last() * x.device().ranks), x.dtype());
  run<AllGather>(y, x);
  return y;
}

/// This rank's columns of x (rows, n), which every rank holds: (rows, n / ranks). Undoes all_gather.
template <class B>
Tensor<B, Shard> take_shard(Tensor<B> x) {
  const int64_t ranks = x.device().ranks, n = x.shape().last() / ranks;
  if (ranks == 1) return relabel<Shard>(std::move(x));
  check(x.shape().last() % ranks == 0, "take_shard: columns must divide among the ranks", x.shape(), ranks);
  return relabel<Shard>(slice_heads(x, 1, x.device().rank * n, n));
}

}  // namespace infernum
