// Collectives: the only ops that change a layout. With one rank they move their argument.
#pragma once
#include <utility>

#include "core/op.h"
#include "ops/kernels.h"

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

}  // namespace infernum
