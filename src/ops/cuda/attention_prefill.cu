// Attention of many tokens per sequence with 16-bit caches, on tensor cores.
#include "backends/cuda/launch.cuh"
#include "ops/cuda/attention_tiles.cuh"
#include "ops/kernels.h"

namespace infernum::cuda {
namespace {

constexpr int warps = 4, tile_blocks = 4;

/// M: tiles of 16 rows per warp.
template <class T, int D, int M>
struct PrefillShared {
  static constexpr int rows = warps * M * 16;
  T q[rows * (D + 8)];
  BlockTile<T, D> ring[2][tile_blocks];
};

/// The rows (token, head) of one thread block, all of one sequence and kv head.
struct RowTile {
  int first_token, tokens, first_head, heads, kv_head;
  const int32_t* table;
  int first_position, last_position;
  BlockRange range;
  __device__ int rows() const { return tokens * heads; }
};

/// No tokens: nothing to do.
__device__ RowTile row_tile(const AttentionWork& w) {
  const int pieces = (w.group + w.tile_heads - 1) / w.tile_heads, piece = blockIdx.y % pieces;
  RowTile r;
  r.kv_head = blockIdx.y / pieces;
  r.first_head = r.kv_head * w.group + piece * w.tile_heads;
  r.heads = min(w.tile_heads, w.group - piece * w.tile_heads);
  const TokenTile tile = tile_of(w.sequences, gridDim.x - 1 - blockIdx.x, w.tile_tokens);  // those with many keys begin first
  r.first_token = tile.first;
  r.tokens = tile.tokens;
  const int32_t* start = w.sequences.query_start + tile.sequence;
  if (w.single_tokens && start[1] - start[0] == 1) r.tokens = 0;
  if (r.tokens == 0) return r;
  r.table = w.sequences.blocks(tile.sequence);
  r.first_position = w.sequences.positions[r.first_token];
  r.last_position = w.sequences.positions[r.first_token + r.tokens - 1];
  r.range = {w.oldest_key(r.first_position) / block_tokens, r.last_position / block_tokens + 1};
  return r;
}

/// Floor: 4 D FLOPs per query row and key. Grid (token tiles, kv heads * pieces of their group).
/// A block takes up to 64 M rows over all their keys; while it has 64 in hand, C blocks at a time, the next 64 are on their way
/// (FlashAttention-2: Dao 2023). M is 2 where registers allow: every key read from shared memory then serves 32 rows.
template <class T, int D, int M, int C>
__global__ void __launch_bounds__(warps * 32) prefill_kernel(AttentionWork w) {
  using Shared = PrefillShared<T, D, M>;
  extern __shared__ __align__(16) unsigned char memory[];
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  const RowTile tile = row_tile(w);
  if (tile.tokens == 0) return;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, rows = tile.rows();
  const auto load = [&](int b, int stage) {
#pragma unroll
    for (int i = 0; i < tile_blocks; i++) {
      BlockTile<T, D>& to = shared.ring[stage][i];
      if (b + i < tile.range.end) {
        const int64_t base = (static_cast<int64_t>(tile.table[b + i]) * w.kv_heads + tile.kv_head) * D * block_tokens;
        to.load(static_cast<const T*>(w.k) + base, static_cast<const T*>(w.v) + base, tile.last_position + 1 - (b + i) * block_tokens,
                threadIdx.x, warps * 32);
      } else {
        to.clear(static_cast<const T*>(w.k), threadIdx.x, warps * 32);
      }
    }
    close_group_of_copies();
  };
  load_queries<T, D>(shared.q, w, tile.first_token, tile.first_head, tile.heads, rows, Shared::rows);
  load(tile.range.begin, 0);

  RowPair state[M];
  float out[M][D / 8][4] = {};
  const T* own_q = shared.q + warp * M * 16 * (D + 8);
#pragma unroll
  for (int m = 0; m < M; m++)
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const int row = (warp * M + m) * 16 + h * 8 + lane / 4;
      if (row >= rows) continue;
      state[m].position[h] = w.sequences.positions[tile.first_token + row / tile.heads];
      state[m].oldest[h] = w.oldest_key(state[m].position[h]);
    }
  const int newest_oldest = w.oldest_key(tile.last_position);
  for (int b = tile.range.begin, stage = 0; b < tile.range.end; b += tile_blocks, stage ^= 1) {
    wait_for_copies<0>();
    __syncthreads();  // the stage is there, and nobody reads the other one any more
    if (b + tile_blocks < tile.range.end) load(b + tile_blocks, stage ^ 1);
#pragma unroll
    for (int first = 0; first < tile_blocks; first += C) {
      if (first > 0 && b + first >= tile.range.end) break;
      const BlockTile<T, D>* keys = shared.ring[stage] + first;
      float s[M][2 * C][4] = {};
#pragma unroll
      for (int d = 0; d < D / 16; d++) {
        uint32_t q[M][4];
#pragma unroll
        for (int m = 0; m < M; m++) query_fragment<T, D>(q[m], own_q + m * 16 * (D + 8), d, lane);
#pragma unroll
        for (int i = 0; i < C; i++) {
          uint32_t k[4];
          keys[i].key_fragments(k, d, lane);
#pragma unroll
          for (int m = 0; m < M; m++) {
            multiply_add<T>(s[m][2 * i], q[m], k[0], k[1]);
            multiply_add<T>(s[m][2 * i + 1], q[m], k[2], k[3]);
          }
        }
      }
      const int first_key = (b + first) * block_tokens;
      const bool mask = first_key + C * block_tokens - 1 > tile.first_position || first_key < newest_oldest || rows < Shared::rows;
#pragma unroll
      for (int m = 0; m < M; m++) {
        float factor[2];
        state[m].update(w, s[m], first_key, mask, factor, lane);
        if (__any_sync(0xffffffffu, factor[0] != 1 || factor[1] != 1))
#pragma unroll
          for (int n = 0; n < D / 8; n++)
#pragma unroll
            for (int e = 0; e < 4; e++) out[m][n][e] *= factor[e / 2];
      }
#pragma unroll
      for (int i = 0; i < C; i++) {
        uint32_t p[M][4];
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
          for (int e = 0; e < 4; e++) p[m][e] = pair_of<T>(s[m][2 * i + e / 2][e % 2 * 2], s[m][2 * i + e / 2][e % 2 * 2 + 1]);
#pragma unroll
        for (int d = 0; d < D / 16; d++) {
          uint32_t v[4];
          keys[i].value_fragments(v, d, lane);
#pragma unroll
          for (int m = 0; m < M; m++) {
            multiply_add<T>(out[m][2 * d], p[m], v[0], v[1]);
            multiply_add<T>(out[m][2 * d + 1], p[m], v[2], v[3]);
          }
        }
      }
    }
  }

  T* y = static_cast<T*>(w.y.data);
#pragma unroll
  for (int m = 0; m < M; m++)
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const int row = (warp * M + m) * 16 + h * 8 + lane / 4;
      const float total = quad_sum(state[m].total[h]);
      if (row >= rows) continue;
      const int token = tile.first_token + row / tile.heads, head = tile.first_head + row % tile.heads;
      const float end = final_factor(w, head, state[m].highest[h], total);
      T* to = y + token * w.y.stride + head * D + lane % 4 * 2;
#pragma unroll
      for (int n = 0; n < D / 8; n++)
        *reinterpret_cast<uint32_t*>(to + n * 8) = pair_of<T>(out[m][n][h * 2] * end, out[m][n][h * 2 + 1] * end);
    }
}

template <class T, int D, int M, int C>
void submit(Queue<Cuda>& queue, AttentionWork w, int64_t tokens) {
  constexpr int rows = PrefillShared<T, D, M>::rows;
  const int needed = (w.group + rows - 1) / rows;
  w.tile_heads = (w.group + needed - 1) / needed;
  w.tile_tokens = rows / w.tile_heads;
  const int pieces = (w.group + w.tile_heads - 1) / w.tile_heads;
  launch(queue, Attention::name, prefill_kernel<T, D, M, C>,
         {dim3(static_cast<unsigned>(tile_count(tokens, w.sequences.count, w.tile_tokens)), static_cast<unsigned>(w.kv_heads * pieces)),
          warps * 32, sizeof(PrefillShared<T, D, M>)},
         {}, w);
}

}  // namespace

bool attend_prefill(Queue<Cuda>& queue, const AttentionWork& w, DType cache, int64_t tokens) {
  bool done = true;
  // Tiles of 128 rows, if there are enough of them for the device.
  const bool large = tokens * w.heads >= 128 * 2 * queue.properties.multiprocessors;
  const auto by_dim = [&](auto type) {
    using T = typename decltype(type)::type;
    switch (w.key_dim) {
      case 64: return large ? submit<T, 64, 2, 4>(queue, w, tokens) : submit<T, 64, 1, 4>(queue, w, tokens);
      case 80: return submit<T, 80, 1, 4>(queue, w, tokens);
      case 96: return submit<T, 96, 1, 4>(queue, w, tokens);
      case 128: return large ? submit<T, 128, 2, 2>(queue, w, tokens) : submit<T, 128, 1, 4>(queue, w, tokens);
      case 192: return submit<T, 192, 1, 4>(queue, w, tokens);
      case 256: return submit<T, 256, 1, 4>(queue, w, tokens);
      default: done = false;
    }
  };
  if (cache == DType::BF16)
    by_dim(Type<__nv_bfloat16>{});
  else
    by_dim(Type<__half>{});
  return done;
}

}  // namespace infernum::cuda
