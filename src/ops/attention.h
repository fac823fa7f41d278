// Attention over the paged cache: append the step's keys and values, then attend.
#pragma once
#include <optional>

#include "core/op.h"
#include "ops/batch.h"
#include "ops/kernels.h"

namespace infernum {

/// Writes k, v (T, Nkv * D) of this step to their cache slots.
template <class B, Complete L>
void cache_append(const LayerState<B>& kv, const Tensor<B, L>& k, const Tensor<B, L>& v, const Batch<B>& batch) {
  check(k.shape() == v.shape() && k.shape()[1] == kv[1].shape()[1] * kv[1].shape()[3],
        "cache_append: k and v must be (T, Nkv * D) of the cache", k.shape(), v.shape(), kv[1].shape());
  run<CacheAppend>(kv[0], kv[1], k, v, batch.positions, batch.query_start, batch.block_tables[static_cast<size_t>(kv.group)]);
}

/// y (T, Nq * D): causal attention of q (T, Nq * D) over everything cached for each sequence; query head h reads kv head h / (Nq / Nkv).
/// p.window and p.softcap as in AttentionParams; sinks (Nq) F32: one logit per head that joins the softmax and carries no value.
template <class B, Complete L>
Tensor<B, L> attention(const Tensor<B, L>& q, const LayerState<B>& kv, const Batch<B>& batch, AttentionParams p,
                       const std::optional<Tensor<B, L>>& sinks = {}) {
  const int64_t heads = q.shape()[1] / p.head_dim, kv_heads = kv[1].shape()[1];
  check(p.head_dim == kv[1].shape()[3] && q.shape()[1] % p.head_dim == 0 && heads % kv_heads == 0,
        "attention: q must be whole groups of the cache's heads", q.shape(), kv[1].shape(), p.head_dim);
  check(!sinks || sinks->shape() == Shape{heads}, "attention: one sink per query head", heads);
  p.context = batch.context;
  auto y = empty_like(q);
  run<Attention>(y, q, kv[0], kv[1], batch.positions, batch.query_start, batch.block_tables[static_cast<size_t>(kv.group)],
                 sinks ? sinks->view() : View<B>{}, p);
  return y;
}

}  // namespace infernum
