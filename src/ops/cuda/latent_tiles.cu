// Latent attention on tensor cores: a tile of heads, or of (token, head) rows, over cached rows that are keys and values at once.
#include <algorithm>

#include "backends/cuda/launch.cuh"
#include "ops/cuda/attention_tiles.cuh"
#include "ops/kernels.h"

namespace infernum::cuda {
namespace {

constexpr int warps = 8, threads = warps * 32;

/// M tiles of 16 query rows; `blocks` cache blocks at a time.
template <class T, int Width, int M>
struct LatentShared {
  static constexpr int rows = 16 * M, blocks = M == 1 ? 4 : 2, keys = blocks * block_tokens;
  static constexpr int stride = Width + 8;  // an odd number of 16-byte units: 8 rows lie in different banks
  static_assert(M * blocks <= warps && threads % rows == 0 && keys % (threads / rows) == 0);
  T q[rows * stride];
  T latents[2][keys * stride];
  T weights[rows * (keys + 8)];
  float scores[rows * (keys + 4)];
  float factor[rows], highest[rows], total[rows];
};

template <class T, int Width, int M>
__device__ void load_latents(LatentShared<T, Width, M>& to, int stage, const AttentionWork& w, const int32_t* table, int b,
                             BlockRange range, int end_key) {
  using Shared = LatentShared<T, Width, M>;
#pragma unroll
  for (int i = 0; i < Shared::blocks; i++) {
    const bool exists = b + i < range.end;
    const T* from = static_cast<const T*>(w.k) + (exists ? static_cast<int64_t>(table[b + i]) * block_tokens * Width : 0);
    for (int c = threadIdx.x; c < block_tokens * Width / 8; c += threads) {
      const int key = c / (Width / 8), column = c % (Width / 8) * 8;
      copy_16_bytes(to.latents[stage] + (i * block_tokens + key) * Shared::stride + column, from + key * Width + column,
                    !exists || (b + i) * block_tokens + key >= end_key);
    }
  }
  close_group_of_copies();
}

/// Products of 16 rows and the 16 keys of a cache block, by one warp. Two sums each, for even and odd steps, hide latency.
template <class T, int Width, int M>
__device__ void score_block(LatentShared<T, Width, M>& shared, int stage, int m, int block, int lane) {
  using Shared = LatentShared<T, Width, M>;
  const T* q = shared.q + (m * 16 + lane / 8 % 2 * 8 + lane % 8) * Shared::stride + lane / 16 * 8;
  const T* k = shared.latents[stage] + (block * block_tokens + lane / 16 * 8 + lane % 8) * Shared::stride + lane / 8 % 2 * 8;
  float s[2][2][4] = {};
#pragma unroll 6
  for (int d = 0; d < Width / 16; d += 2)
#pragma unroll
    for (int odd = 0; odd < 2; odd++) {
      uint32_t of_q[4], of_k[4];
      load_matrices(of_q, q + (d + odd) * 16);
      load_matrices(of_k, k + (d + odd) * 16);
      multiply_add<T>(s[odd][0], of_q, of_k[0], of_k[1]);
      multiply_add<T>(s[odd][1], of_q, of_k[2], of_k[3]);
    }
#pragma unroll
  for (int n = 0; n < 2; n++)
#pragma unroll
    for (int h = 0; h < 2; h++) {
      float* to = shared.scores + (m * 16 + h * 8 + lane / 4) * (Shared::keys + 4) + block * block_tokens + n * 8 + lane % 4 * 2;
      to[0] = s[0][n][2 * h] + s[1][n][2 * h];
      to[1] = s[0][n][2 * h + 1] + s[1][n][2 * h + 1];
    }
}

/// Grid (token tiles, pieces of the heads, splits). Floor for many heads: 2 (2 rank + rope) FLOPs per head and key.
/// Warps share out the scores of 16 rows and 16 keys, then a row's softmax is `threads / rows` threads', then every warp adds up
/// Rank / 8 components of all rows.
template <class T, int Rank, int Rope, int M>
__global__ void __launch_bounds__(threads) latent_kernel(AttentionWork w) {
  constexpr int Width = Rank + Rope, columns = Rank / warps;
  static_assert(Width % 32 == 0 && columns % 16 == 0);
  using Shared = LatentShared<T, Width, M>;
  extern __shared__ __align__(16) unsigned char memory[];
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, split = blockIdx.z;
  TokenTile tile;
  if (w.tile_tokens == 1)
    tile = {w.sequences.of(blockIdx.x), static_cast<int>(blockIdx.x), 1};
  else
    tile = tile_of(w.sequences, gridDim.x - 1 - blockIdx.x, w.tile_tokens);
  if (tile.tokens == 0) return;
  const int first_head = blockIdx.y * w.tile_heads, heads = min(w.tile_heads, w.heads - first_head), rows = tile.tokens * heads;
  const int last_position = w.sequences.positions[tile.first + tile.tokens - 1];
  const int32_t* table = w.sequences.blocks(tile.sequence);
  const BlockRange range = part_of(w, {0, last_position / block_tokens + 1}, split);
  if (range.begin == range.end) return;

  const T* q = static_cast<const T*>(w.q.data);
  for (int i = threadIdx.x; i < Shared::rows * (Width / 8); i += threads) {
    const int r = i / (Width / 8), column = i % (Width / 8) * 8, from = min(r, rows - 1);
    copy_16_bytes(shared.q + r * Shared::stride + column,
                  q + (tile.first + from / heads) * w.q.stride + (first_head + from % heads) * Width + column, r >= rows);
  }
  load_latents(shared, 0, w, table, range.begin, range, last_position + 1);

  // This thread's part of a row's softmax.
  constexpr int sharers = threads / Shared::rows, own_keys = Shared::keys / sharers;
  const int row = threadIdx.x / sharers, first_own = threadIdx.x % sharers * own_keys;
  const int position = row < rows ? w.sequences.positions[tile.first + row / heads] : -1;
  float highest = -INFINITY, total = 0, out[M][columns / 8][4] = {};
  for (int b = range.begin, stage = 0; b < range.end; b += Shared::blocks, stage ^= 1) {
    wait_for_copies<0>();
    __syncthreads();  // the stage is there, and nobody reads the other one or the weights any more
    if (b + Shared::blocks < range.end) load_latents(shared, stage ^ 1, w, table, b + Shared::blocks, range, last_position + 1);
    if (warp < M * Shared::blocks) score_block(shared, stage, warp % M, warp / M, lane);
    __syncthreads();
    {
      float s[own_keys], top = highest;
#pragma unroll
      for (int j = 0; j < own_keys; j++) {
        s[j] = shared.scores[row * (Shared::keys + 4) + first_own + j] * (w.scale * log2_of_e);
        if (b * block_tokens + first_own + j > position) s[j] = -INFINITY;
        top = fmaxf(top, s[j]);
      }
#pragma unroll
      for (int step = 1; step < sharers; step *= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, step));
      const float base = top == -INFINITY ? 0.f : top, factor = power_of_2(highest - base);
      highest = top;
      total *= factor;
#pragma unroll
      for (int j = 0; j < own_keys; j++) {
        const float p = power_of_2(s[j] - base);
        total += p;
        shared.weights[row * (Shared::keys + 8) + first_own + j] = from_float<T>(p);
      }
      if (first_own == 0) shared.factor[row] = factor;
    }
    __syncthreads();
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
      for (int h = 0; h < 2; h++) {
        const float factor = shared.factor[m * 16 + h * 8 + lane / 4];
#pragma unroll
        for (int n = 0; n < columns / 8; n++) out[m][n][2 * h] *= factor, out[m][n][2 * h + 1] *= factor;
      }
#pragma unroll
    for (int i = 0; i < Shared::blocks; i++) {
      uint32_t p[M][4];
#pragma unroll
      for (int m = 0; m < M; m++)
        load_matrices(p[m],
                      shared.weights + (m * 16 + lane / 8 % 2 * 8 + lane % 8) * (Shared::keys + 8) + i * block_tokens + lane / 16 * 8);
      const T* v =
          shared.latents[stage] + (i * block_tokens + lane / 8 % 2 * 8 + lane % 8) * Shared::stride + warp * columns + lane / 16 * 8;
#pragma unroll
      for (int n = 0; n < columns / 16; n++) {
        uint32_t of_v[4];
        load_matrices_transposed(of_v, v + n * 16);
#pragma unroll
        for (int m = 0; m < M; m++) {
          multiply_add<T>(out[m][2 * n], p[m], of_v[0], of_v[1]);
          multiply_add<T>(out[m][2 * n + 1], p[m], of_v[2], of_v[3]);
        }
      }
    }
  }

#pragma unroll
  for (int step = 1; step < sharers; step *= 2) total += __shfl_xor_sync(0xffffffffu, total, step);
  if (first_own == 0) shared.highest[row] = highest, shared.total[row] = total;
  __syncthreads();
#pragma unroll
  for (int m = 0; m < M; m++)
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const int r = m * 16 + h * 8 + lane / 4;
      if (r >= rows) continue;
      const int token = tile.first + r / heads, head = first_head + r % heads, column = warp * columns + lane % 4 * 2;
      if (w.splits == 1) {
        const float end = 1 / shared.total[r];
        T* to = static_cast<T*>(w.y.data) + token * w.y.stride + head * Rank + column;
#pragma unroll
        for (int n = 0; n < columns / 8; n++)
          *reinterpret_cast<uint32_t*>(to + n * 8) = pair_of<T>(out[m][n][2 * h] * end, out[m][n][2 * h + 1] * end);
      } else {
        const int64_t part = w.part(token, head, split);
        float* to = w.partial + part * Rank + column;
#pragma unroll
        for (int n = 0; n < columns / 8; n++) *reinterpret_cast<float2*>(to + n * 8) = make_float2(out[m][n][2 * h], out[m][n][2 * h + 1]);
        if (warp == 0 && lane % 4 == 0) w.weights[part * 2] = shared.highest[r], w.weights[part * 2 + 1] = shared.total[r];
      }
    }
}

template <class T, int Rank, int Rope, int M>
void submit(Queue<Cuda>& queue, AttentionWork w, int64_t tokens, int64_t blocks) {
  using Shared = LatentShared<T, Rank + Rope, M>;
  const int needed = (w.heads + Shared::rows - 1) / Shared::rows;
  w.tile_heads = (w.heads + needed - 1) / needed;
  const int pieces = (w.heads + w.tile_heads - 1) / w.tile_heads;
  const bool single = tokens <= std::max(w.sequences.count, 16);
  w.tile_tokens = single ? 1 : Shared::rows / w.tile_heads;
  const int64_t tiles = w.tile_tokens == 1 ? tokens : tile_count(tokens, w.sequences.count, w.tile_tokens);
  if (single) choose_splits(queue, w, tokens, tiles * pieces, 1, blocks);
  launch(queue, LatentAttention::name, latent_kernel<T, Rank, Rope, M>,
         {dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(pieces), static_cast<unsigned>(w.splits)), threads, sizeof(Shared)}, {},
         w);
  merge_parts(queue, LatentAttention::name, w, tokens);
}

template <class T>
bool attend(Queue<Cuda>& queue, const AttentionWork& w, int64_t tokens, int64_t blocks) {
  // Rows of several tokens fill larger tiles in a prompt.
  const bool large = w.heads > 16 || (tokens > std::max(w.sequences.count, 16) && w.heads > 4);
  if (w.value_dim == 512 && w.key_dim == 576)
    large ? submit<T, 512, 64, 4>(queue, w, tokens, blocks) : submit<T, 512, 64, 1>(queue, w, tokens, blocks);
  else if (w.value_dim == 256 && w.key_dim == 288)
    large ? submit<T, 256, 32, 4>(queue, w, tokens, blocks) : submit<T, 256, 32, 1>(queue, w, tokens, blocks);
  else
    return false;
  return true;
}

}  // namespace

bool attend_latents(Queue<Cuda>& queue, const AttentionWork& w, DType cache, int64_t tokens, int64_t blocks) {
  return cache == DType::BF16 ? attend<__nv_bfloat16>(queue, w, tokens, blocks) : attend<__half>(queue, w, tokens, blocks);
}

}  // namespace infernum::cuda
