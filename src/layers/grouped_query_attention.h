// Grouped-query attention (Ainslie et al. 2023) with rotary embeddings over the paged cache.
#pragma once
#include "layers/linear.h"
#include "ops/attention.h"
#include "ops/rope.h"

namespace infernum {

struct AttentionShape {
  int64_t hidden_size, num_attention_heads, num_key_value_heads;
  RopeParams rope;
  AttentionParams params;
  bool qkv_bias = false, o_bias = false;
};

/// Rotates q and k (T, heads * D) by the step's table, caches k and v, and attends: (T, Nq * D).
template <class B>
Tensor<B, Shard> attend(const Tensor<B, Shard>& q, const Tensor<B, Shard>& k, const Tensor<B, Shard>& v, const Tensor<B>& rope_table,
                        const AttentionShape& shape, const Batch<B>& batch, const KvLayer<B>& kv) {
  const auto rotated_q = rope(q, rope_table, shape.rope);
  const auto rotated_k = rope(k, rope_table, shape.rope);
  cache_append(kv, rotated_k, v, batch);
  return attention(rotated_q, kv, batch, shape.params);
}

template <class B>
struct GroupedQueryAttention {
  ColLinear<B> q_proj, k_proj, v_proj;
  RowLinear<B> o_proj;
  AttentionShape shape;

  GroupedQueryAttention(const Weights<B>& w, const AttentionShape& s)
      : q_proj(w / "q_proj", s.num_attention_heads * s.params.head_dim, s.hidden_size, s.qkv_bias),
        k_proj(w / "k_proj", s.num_key_value_heads * s.params.head_dim, s.hidden_size, s.qkv_bias),
        v_proj(w / "v_proj", s.num_key_value_heads * s.params.head_dim, s.hidden_size, s.qkv_bias),
        o_proj(w / "o_proj", s.hidden_size, s.num_attention_heads * s.params.head_dim, s.o_bias),
        shape(s) {}

  /// x (T, H), rope (T, rotary_dim) -> (T, H), still to be reduced over ranks.
  Tensor<B, Partial> operator()(const Tensor<B>& x, const Tensor<B>& rope, const Batch<B>& batch, const KvLayer<B>& kv) const {
    const auto q = q_proj(x);
    const auto k = k_proj(x);
    const auto v = v_proj(x);
    const auto o = attend(q, k, v, rope, shape, batch, kv);
    return o_proj(o);
  }
};

}  // namespace infernum
