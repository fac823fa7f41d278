// Multi-head latent attention in its absorbed form (DeepSeek-V2, 2024): the cache keeps one row [latent | rotated key] per token, which all
// heads share.
#pragma once
#include "core/op.h"
#include "ops/batch.h"
#include "ops/kernels.h"

namespace infernum {

/// Writes [c (T, R) | kr (T, P)] of this step to latent (blocks, block_tokens, R + P).
template <class B>
void latent_append(const Tensor<B>& latent, const Tensor<B>& c, const Tensor<B>& kr, const Batch<B>& batch, int group) {
  check(latent.shape().rank() == 3 && latent.shape()[1] == block_tokens && c.shape()[1] + kr.shape()[1] == latent.shape()[2] &&
            c.shape()[0] == kr.shape()[0],
        "latent_append: c (T, R) and kr (T, P) make up rows of the cache (blocks, block_tokens, R + P)", c.shape(), kr.shape(),
        latent.shape());
  run<LatentAppend>(latent, c, kr, batch.positions, batch.query_start, batch.block_tables[static_cast<size_t>(group)]);
}

/// y (T, Nq * R): per head of q (T, Nq * (R + P)) the causal softmax of its products with the cached rows, times p.scale, weighs the first
/// R components of those rows.
template <class B, Complete L>
Tensor<B, L> latent_attention(const Tensor<B, L>& q, const Tensor<B>& latent, const Batch<B>& batch, int group, LatentParams p) {
  const int64_t width = int64_t{p.rank} + p.rope;
  check(p.rank > 0 && p.rope >= 0 && latent.shape().rank() == 3 && latent.shape()[1] == block_tokens && latent.shape()[2] == width,
        "latent_attention: the cache must be (blocks, block_tokens, rank + rope)", latent.shape(), p.rank, p.rope);
  check(q.shape()[1] > 0 && q.shape()[1] % width == 0, "latent_attention: q must be (T, heads * (rank + rope))", q.shape(), p.rank, p.rope);
  p.context = batch.context;
  Tensor<B, L> y(q.device(), {q.shape()[0], q.shape()[1] / width * p.rank}, q.dtype());
  run<LatentAttention>(y, q, latent, batch.positions, batch.query_start, batch.block_tables[static_cast<size_t>(group)], p);
  return y;
}

}  // namespace infernum
