// Between the projections of an attention layer and its attention: rotary embedding of queries and keys, keys and values to the cache.
#pragma once
#include "blocks/block.h"
#include "ops/rope.h"

namespace infernum {

/// rope(q); caches rope(k) and v as cache_append() does. q (T, Nq * D), k and v (T, Nkv * D), table as of rope(), the caches as in
/// key_value_state(), the rest of the step's batch.
struct RopeAppend : Block<RopeAppend> {
  static constexpr auto name = "rope_append";
  template <class B, Complete L>
  static Tensor<B, L> out(const Tensor<B, L>& q, const Tensor<B, L>& k, const Tensor<B, L>& v, const Tensor<B>& table, const Tensor<B>&,
                          const Tensor<B>& v_cache, const Tensor<B>&, const Tensor<B>&, const Tensor<B>&, RopeParams p) {
    check(p.head_dim > 0 && q.shape().rank() == 2 && q.shape()[1] % p.head_dim == 0 && k.shape() == v.shape() &&
              k.shape() == Shape{q.shape()[0], v_cache.shape()[1] * p.head_dim} && v_cache.shape()[3] == p.head_dim,
          "rope_append: q, k and v are rows of heads, the latter as many as the cache's", q.shape(), k.shape(), v.shape(), v_cache.shape(),
          p.head_dim);
    check(q.dtype() == k.dtype() && is_float(v.dtype()), "rope_append: q and k are of one dtype, v of a float type", q.dtype(), k.dtype(),
          v.dtype());
    check(table.shape()[0] == q.shape()[0] && table.shape()[1] <= p.head_dim, "rope_append: a table row per token, not wider than a head",
          table.shape(), q.shape());
    return empty_like(q);
  }
  template <class B, Complete L>
  static Tensor<B, L> decomposed(const Tensor<B, L>& q, const Tensor<B, L>& k, const Tensor<B, L>& v, const Tensor<B>& table,
                                 const Tensor<B>& k_cache, const Tensor<B>& v_cache, const Tensor<B>& positions,
                                 const Tensor<B>& query_start, const Tensor<B>& block_table, RopeParams p) {
    auto rotated_q = rope(q, table, p);
    const auto rotated_k = rope(k, table, p);
    run<CacheAppend>(k_cache, v_cache, rotated_k, v, positions, query_start, block_table);
    return rotated_q;
  }
};
inline constexpr RopeAppend rope_append;

}  // namespace infernum
