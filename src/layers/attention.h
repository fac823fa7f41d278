// Grouped-query attention with rotary embeddings over the paged cache: the step every decoder family shares between its projections.
#pragma once
#include "ops/attention.h"
#include "ops/rope.h"

namespace infernum {

/// Rotates q and k (T, heads * D) by the step's table, caches k and v, and attends: (T, Nq * D).
template <class B>
Tensor<B, Shard> attend(const Tensor<B, Shard>& q, const Tensor<B, Shard>& k, const Tensor<B, Shard>& v, const Tensor<B>& rope_table, RopeParams rope_params,
                        const Batch<B>& batch, const KvLayer<B>& kv, const AttentionParams& params) {
  const auto rotated_q = rope(q, rope_table, rope_params);
  const auto rotated_k = rope(k, rope_table, rope_params);
  cache_append(kv, rotated_k, v, batch);
  return attention(rotated_q, kv, batch, params);
}

}  // namespace infernum
