// Grouped-query attention (Ainslie et al. 2023) with rotary embeddings over the paged cache.
#pragma once
#include "blocks/rope_append.h"
#include "layers/linear.h"
#include "layers/step.h"
#include "ops/attention.h"
#include "ops/rope.h"

namespace infernum {

struct AttentionShape {
  int64_t hidden_size, num_attention_heads, num_key_value_heads;
  RopeParams rope;
  int rope_table;  ///< index into Step::rope; no_rope: positions are not encoded in this layer (NoPE, Kazemnejad et al. 2023)
  AttentionParams params;
  bool qkv_bias = false, o_bias = false;
  bool fused_qkv = false;  ///< q, k and v are rows of one matrix qkv_proj, without bias

  static constexpr int no_rope = -1;
};

/// What this rank caches: the keys and values of its heads.
template <class B>
SequenceState key_value_cache(const Weights<B>& w, const AttentionShape& s) {
  return key_value_state(s.num_key_value_heads / w.device().ranks, s.params.head_dim, s.params);
}

/// x (T, heads * D) rotated by the layer's table, or as it is in a layer without one.
template <class B>
Tensor<B, Shard> rotate(const Tensor<B, Shard>& x, const AttentionShape& shape, const Step<B>& step) {
  return shape.rope_table == AttentionShape::no_rope ? x : rope(x, step.rope[static_cast<size_t>(shape.rope_table)], shape.rope);
}

/// Caches k and v, already rotated, and attends: (T, Nq * D).
template <class B>
Tensor<B, Shard> cache_and_attend(const Tensor<B, Shard>& q, const Tensor<B, Shard>& k, const Tensor<B, Shard>& v,
                                  const AttentionShape& shape, const Step<B>& step, const LayerState<B>& kv,
                                  const std::optional<Tensor<B, Shard>>& sinks = {}) {
  cache_append(kv, k, v, step.batch);
  return attention(q, kv, step.batch, shape.params, sinks);
}

/// Rotates q and k (T, heads * D), caches k and v, and attends: (T, Nq * D).
template <class B>
Tensor<B, Shard> attend(const Tensor<B, Shard>& q, const Tensor<B, Shard>& k, const Tensor<B, Shard>& v, const AttentionShape& shape,
                        const Step<B>& step, const LayerState<B>& kv, const std::optional<Tensor<B, Shard>>& sinks = {}) {
  if (shape.rope_table == AttentionShape::no_rope) return cache_and_attend(q, k, v, shape, step, kv, sinks);
  const Batch<B>& b = step.batch;
  const auto rotated_q = rope_append(q, k, v, step.rope[static_cast<size_t>(shape.rope_table)], kv[0], kv[1], b.positions, b.query_start,
                                     b.block_tables[static_cast<size_t>(kv.group)], shape.rope);
  return attention(rotated_q, kv, b, shape.params, sinks);
}

template <class B>
struct GroupedQueryAttention {
  ColLinear<B> q_proj, k_proj, v_proj;
  RowLinear<B> o_proj;
  AttentionShape shape;
  SequenceState cache;

  GroupedQueryAttention(const Weights<B>& w, const AttentionShape& s)
      : q_proj(projection(w, s, "q_proj", 0, s.num_attention_heads)),
        k_proj(projection(w, s, "k_proj", s.num_attention_heads, s.num_key_value_heads)),
        v_proj(projection(w, s, "v_proj", s.num_attention_heads + s.num_key_value_heads, s.num_key_value_heads)),
        o_proj(w / "o_proj", s.hidden_size, s.num_attention_heads * s.params.head_dim, s.o_bias),
        shape(s),
        cache(key_value_cache(w, s)) {}

  SequenceState state() const { return cache; }

  /// x (T, H) -> (T, H), still to be reduced over ranks.
  Tensor<B, Partial> operator()(const Tensor<B>& x, const Step<B>& step, const LayerState<B>& kv) const {
    const auto q = q_proj(x);
    const auto k = k_proj(x);
    const auto v = v_proj(x);
    const auto o = attend(q, k, v, shape, step, kv);
    return o_proj(o);
  }

 private:
  /// `heads` heads; where all are fused, those from first_head on.
  static ColLinear<B> projection(const Weights<B>& w, const AttentionShape& s, std::string_view name, int64_t first_head, int64_t heads) {
    const int64_t d = s.params.head_dim, all_heads = s.num_attention_heads + 2 * s.num_key_value_heads;
    if (s.fused_qkv) return {w / "qkv_proj", all_heads * d, first_head * d, heads * d, s.hidden_size};
    return {w / name, heads * d, s.hidden_size, s.qkv_bias};
  }
};

}  // namespace infernum
