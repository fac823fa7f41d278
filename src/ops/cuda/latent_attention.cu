// LatentAttention: which kernel takes what, and the one for every type and size: plain multiply-adds in f32. One cached row per token is
// key and value of every head.
#include <algorithm>

#include "backends/cuda/launch.cuh"
#include "ops/cuda/attention.cuh"
#include "ops/kernels.h"

namespace infernum {
namespace {

using namespace cuda;

constexpr int warps = 4;

/// Grid (tokens, pieces of H heads, splits); each warp takes every fourth cache block, a key at a time, the row spread over its lanes:
/// lane + 32 n is in charge of V components.
template <class T, int V, int N, int H>
__global__ void __launch_bounds__(warps * 32) attend_latent_kernel(AttentionWork w) {
  extern __shared__ float shared[];
  __shared__ float highest_s[warps][H], total_s[warps][H];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, dim = w.key_dim, chunks = dim / V, token = blockIdx.x, split = blockIdx.z;
  const int first_head = blockIdx.y * H, heads = min(H, w.heads - first_head), position = w.sequences.positions[token];
  const int32_t* table = w.sequences.blocks(w.sequences.of(token));
  const BlockRange range = part_of(w, blocks_of(w, position), split);
  if (range.begin == range.end) return;
  float *q_s = shared, *out_s = shared + H * dim;  // (H, dim), (warps, dim)
  for (int i = threadIdx.x; i < H * dim; i += warps * 32)
    q_s[i] = i < heads * dim ? w.q.get(token, first_head * dim + i) * w.scale * log2_of_e : 0.f;
  __syncthreads();
  float highest[H], total[H], out[H][N * V];
#pragma unroll
  for (int r = 0; r < H; r++) {
    highest[r] = -INFINITY;
    total[r] = 0;
#pragma unroll
    for (int j = 0; j < N * V; j++) out[r][j] = 0;
  }
  for (int b = range.begin + warp; b < range.end; b += warps) {
    const T* block = static_cast<const T*>(w.k) + static_cast<int64_t>(table[b]) * block_tokens * dim;
    const int keys = min(block_tokens, position + 1 - b * block_tokens);
    for (int key = 0; key < keys; key++) {
      Pack<T, V> row[N];
#pragma unroll
      for (int n = 0; n < N; n++)
        if (lane + n * 32 < chunks) row[n] = *reinterpret_cast<const Pack<T, V>*>(block + key * dim + (lane + n * 32) * V);
      float s[H] = {};
#pragma unroll
      for (int n = 0; n < N; n++) {
        if (lane + n * 32 >= chunks) continue;
#pragma unroll
        for (int r = 0; r < H; r++)
#pragma unroll
          for (int i = 0; i < V; i++) s[r] += q_s[r * dim + (lane + n * 32) * V + i] * to_float(row[n].values[i]);
      }
#pragma unroll
      for (int r = 0; r < H; r++) {
        const float x = warp_sum(s[r]), limit = fmaxf(highest[r], x), factor = exp2f(highest[r] - limit), p = exp2f(x - limit);
        highest[r] = limit;
        total[r] = total[r] * factor + p;
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
          for (int i = 0; i < V; i++)
            if (lane + n * 32 < chunks) out[r][n * V + i] = out[r][n * V + i] * factor + p * to_float(row[n].values[i]);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < H; r++)
    if (lane == 0) highest_s[warp][r] = highest[r], total_s[warp][r] = total[r];
  __syncthreads();
#pragma unroll
  for (int r = 0; r < H; r++) {
    if (r >= heads) break;
    float limit = -INFINITY, sum = 0;
    for (int i = 0; i < warps; i++) limit = fmaxf(limit, highest_s[i][r]);
    for (int i = 0; i < warps; i++) sum += total_s[i][r] * exp2f(highest_s[i][r] - limit);
    const float factor = exp2f(highest[r] - limit);
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
      for (int i = 0; i < V; i++)
        if (lane + n * 32 < chunks) out_s[warp * dim + (lane + n * 32) * V + i] = out[r][n * V + i] * factor;
    __syncthreads();
    const int head = first_head + r;
    for (int d = threadIdx.x; d < w.value_dim; d += warps * 32) {
      float x = 0;
      for (int i = 0; i < warps; i++) x += out_s[i * dim + d];
      if (w.splits == 1)
        w.y.set(token, head * w.value_dim + d, x / sum);
      else
        w.partial[w.part(token, head, split) * w.value_dim + d] = x;
    }
    if (w.splits > 1 && threadIdx.x == 0) {
      float* to = w.weights + w.part(token, head, split) * 2;
      to[0] = limit, to[1] = sum;
    }
    __syncthreads();
  }
}

template <class T, int V, int N, int H>
void submit(Queue<Cuda>& queue, AttentionWork& w, int64_t tokens, int64_t blocks) {
  const int pieces = (w.heads + H - 1) / H;
  choose_splits(queue, w, tokens, tokens * pieces, 3, blocks);
  launch(queue, LatentAttention::name, attend_latent_kernel<T, V, N, H>,
         {dim3(static_cast<unsigned>(tokens), static_cast<unsigned>(pieces), static_cast<unsigned>(w.splits)), warps * 32,
          static_cast<size_t>((H + warps) * w.key_dim) * sizeof(float)},
         {}, w);
  merge_parts(queue, LatentAttention::name, w, tokens);
}

}  // namespace

void kernel(LatentAttention, Queue<Cuda>& queue, View<Cuda> y, View<Cuda> q, View<Cuda> latent, View<Cuda> positions,
            View<Cuda> query_start, View<Cuda> block_table, LatentParams p) {
  const int64_t tokens = q.rows(), blocks = most_blocks(p.context, block_table, 0, 0);
  check(p.rank + p.rope <= 640, "latent_attention: at most 640 components of a row on CUDA", p.rank, p.rope);
  if (tokens == 0) return;
  AttentionWork w{AnyRows(y), AnyRows(q), Sequences(positions, query_start, block_table), latent.data, latent.data, nullptr};
  w.key_dim = p.rank + p.rope;
  w.value_dim = p.rank;
  w.heads = w.group = static_cast<int>(q.cols() / w.key_dim);
  w.kv_heads = 1;
  w.scale = p.scale;
  if (of_one_half_type(y, q, latent) && attend_latents(queue, w, latent.dtype, tokens, blocks)) return;
  dispatch_float(latent.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    constexpr int wide = 16 / sizeof(T);
    const bool aligned = w.key_dim % wide == 0 && reinterpret_cast<uintptr_t>(latent.data) % 16 == 0;
    if (!aligned) return submit<T, 1, 20, 2>(queue, w, tokens, blocks);
    if (w.key_dim <= 256) return submit<T, wide, 8 / wide, 4>(queue, w, tokens, blocks);
    submit<T, wide, wide == 8 ? 3 : 5, 4>(queue, w, tokens, blocks);
  });
}

}  // namespace infernum
