// Token embedding and the head that turns hidden states into logits.
#pragma once
#include "layers/linear.h"
#include "ops/collectives.h"
#include "ops/rows.h"

namespace infernum {

template <class B>
struct Embedding {
  Tensor<B> table;  ///< (V, H) as stored, whole on every rank
  Embedding(const Weights<B>& w, int64_t vocab_size, int64_t hidden_size) : table(w.tensor("weight", {vocab_size, hidden_size})) {}
  /// ids (T) -> (T, H).
  Tensor<B> operator()(const Tensor<B>& ids) const { return embed(table, ids); }
};

/// Logits (n, V) of hidden states (n, H). Rows of the vocabulary are divided among ranks and gathered.
template <class B>
struct LmHead {
  ColLinear<B> linear;
  LmHead(const Weights<B>& w, int64_t vocab_size, int64_t hidden_size) : linear(w, vocab_size, hidden_size) {}
  Tensor<B> operator()(const Tensor<B>& h) const { return all_gather(linear(h)); }
};

}  // namespace infernum
