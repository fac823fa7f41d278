// Norm layers: a weight and an epsilon.
#pragma once
#include "layers/weights.h"
#include "ops/collectives.h"
#include "ops/rms_norm.h"

namespace infernum {

template <class B>
struct Norm {
  Tensor<B> weight;  ///< (n) F32
  float eps;
  /// `zero_centred`: the checkpoint stores weight - 1 (Gemma).
  Norm(const Weights<B>& w, int64_t n, float epsilon, bool zero_centred = false)
      : weight(w.vector("weight", n, zero_centred ? 1.f : 0.f)), eps(epsilon) {}
  Tensor<B> operator()(const Tensor<B>& x) const { return rms_norm(x, weight, eps); }
};

/// Layer norm with a weight and no bias (Command R).
template <class B>
struct BiaslessLayerNorm {
  Tensor<B> weight;  ///< (n) F32
  float eps;
  BiaslessLayerNorm(const Weights<B>& w, int64_t n, float epsilon, bool zero_centred = false)
      : weight(w.vector("weight", n, zero_centred ? 1.f : 0.f)), eps(epsilon) {}
  Tensor<B> operator()(const Tensor<B>& x) const { return layer_norm(x, weight, eps); }
};

/// Over whole rows of x (T, n) whose columns are divided among ranks: queries and keys of OLMo 2.
template <class B>
struct ShardedNorm {
  Tensor<B> weight;  ///< (n) F32
  float eps;
  ShardedNorm(const Weights<B>& w, int64_t n, float epsilon) : weight(w.vector("weight", n)), eps(epsilon) {}
  Tensor<B, Shard> operator()(Tensor<B, Shard> x) const { return take_shard(rms_norm(all_gather(std::move(x)), weight, eps)); }
};

/// Per head of x (T, heads * D).
template <class B>
struct HeadNorm {
  Tensor<B> weight;  ///< (D) F32
  float eps;
  HeadNorm(const Weights<B>& w, int64_t head_dim, float epsilon, bool zero_centred = false)
      : weight(w.vector("weight", head_dim, zero_centred ? 1.f : 0.f)), eps(epsilon) {}
  template <Complete L>
  Tensor<B, L> operator()(const Tensor<B, L>& x) const {
    return head_norm(x, weight, eps);
  }
};

}  // namespace infernum
