// Token embedding and the head that turns hidden states into logits.
#pragma once
#include "layers/linear.h"
#include "ops/collectives.h"
#include "ops/rows.h"

namespace infernum {

template <class B>
struct Embedding {
  Tensor<B> table;  ///< (V, H) as stored, whole on every rank
  float multiplier;
  Embedding(const Weights<B>& w, int64_t vocab_size, int64_t hidden_size, float scale = 1)
      : table(w.tensor("weight", {vocab_size, hidden_size})), multiplier(scale) {}
  /// ids (T) -> (T, H).
  Tensor<B> operator()(const Tensor<B>& ids) const {
    const auto h = embed(table, ids);
    return multiplier == 1 ? h : scale(h, multiplier);
  }
};

/// Logits (n, V) of hidden states (n, H). Rows of the vocabulary are divided among ranks and gathered.
template <class B>
struct LmHead {
  ColLinear<B> linear;
  float multiplier, cap;  ///< logits become cap * tanh(multiplier * logits / cap); cap 0: none
  LmHead(const Weights<B>& w, int64_t vocab_size, int64_t hidden_size, float logit_scale = 1, float softcap = 0)
      : linear(w, vocab_size, hidden_size), multiplier(logit_scale), cap(softcap) {}
  Tensor<B> operator()(const Tensor<B>& h) const {
    auto logits = all_gather(linear.in_f32(h));
    if (multiplier != 1) logits = scale(logits, multiplier);
    return cap == 0 ? logits : softcap(logits, cap);
  }
};

}  // namespace infernum
