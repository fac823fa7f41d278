// Attention of single tokens with 16-bit caches: the keys of a sequence are split over thread blocks.
#include <algorithm>

#include "backends/cuda/launch.cuh"
#include "ops/cuda/attention_tiles.cuh"
#include "ops/kernels.h"

namespace infernum::cuda {
namespace {

constexpr int rows = 16;

template <class T, int D>
struct DecodeShared {
  static constexpr int warps = D <= 128 ? 8 : 4, stages = D <= 128 ? 3 : 2;
  T q[rows * (D + 8)];
  union {
    BlockTile<T, D> ring[warps][stages];
    float out[warps][rows][D];
  };
  float highest[warps][rows], total[warps][rows];
};

/// The rows of a thread block: the sums of its warps, in order, to y or to the block's part.
template <class T, int D>
__device__ void add_up_warps(const DecodeShared<T, D>& shared, const AttentionWork& w, int token, int first_head, int heads) {
  constexpr int warps = DecodeShared<T, D>::warps;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int row = warp; row < heads; row += warps) {
    float limit = -INFINITY, total = 0, factor[warps];
    for (int i = 0; i < warps; i++) limit = fmaxf(limit, shared.highest[i][row]);
#pragma unroll
    for (int i = 0; i < warps; i++) {
      factor[i] = exp2f(shared.highest[i][row] - limit);
      total += factor[i] * shared.total[i][row];
    }
    const int head = first_head + row;
    const float end = w.splits == 1 ? final_factor(w, head, limit, total) : 1.f;
    const int64_t part = w.part(blockIdx.x, head, blockIdx.z);
    for (int d = lane; d < D; d += 32) {
      float x = 0;
#pragma unroll
      for (int i = 0; i < warps; i++) x += factor[i] * shared.out[i][row][d];
      if (w.splits == 1)
        w.y.set(token, head * D + d, x * end);
      else
        w.partial[part * D + d] = x;
    }
    if (w.splits > 1 && lane == 0) w.weights[part * 2] = limit, w.weights[part * 2 + 1] = total;
  }
}

/// Floor: bytes of K and V, each read once for all heads of a group (up to 16). Grid (items, kv heads * pieces of their group, splits).
/// Each warp takes every fourth or eighth cache block of the part, and copies ahead into a ring of its own, so that warps wait for nobody
/// until they add up their sums.
template <class T, int D>
__global__ void __launch_bounds__(DecodeShared<T, D>::warps * 32) decode_kernel(AttentionWork w) {
  using Shared = DecodeShared<T, D>;
  constexpr int warps = Shared::warps;
  begin_early();
  extern __shared__ __align__(16) unsigned char memory[];
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, split = blockIdx.z;
  const int pieces = (w.group + w.tile_heads - 1) / w.tile_heads, kv_head = blockIdx.y / pieces, piece = blockIdx.y % pieces;
  const int first_head = kv_head * w.group + piece * w.tile_heads, heads = min(w.tile_heads, w.group - piece * w.tile_heads);
  const DecodeItem item = decode_item(w, blockIdx.x);
  if (item.token < 0) return;
  const int position = item.position;
  const int32_t* table = w.sequences.blocks(item.sequence);
  const BlockRange range = part_of(w, blocks_of(w, position), split);
  if (range.begin == range.end) return;

  const auto number = [&](int b) { return b < range.end ? table[b] : 0; };
  const auto load = [&](int b, int block) {
    if (b < range.end) {
      const int64_t base = (static_cast<int64_t>(block) * w.kv_heads + kv_head) * D * block_tokens;
      BlockTile<T, D>& tile = shared.ring[warp][(b - range.begin) / warps % Shared::stages];
      tile.load(static_cast<const T*>(w.k) + base, static_cast<const T*>(w.v) + base, position + 1 - b * block_tokens, lane, 32);
    }
    close_group_of_copies();
  };
  load_queries<T, D>(shared.q, w, item.token, first_head, heads, heads, rows);
  for (int i = 0; i + 1 < Shared::stages; i++) load(range.begin + warp + i * warps, number(range.begin + warp + i * warps));
  int next = number(range.begin + warp + (Shared::stages - 1) * warps);  // read a step before its copies need it
  wait_for_copies<Shared::stages - 2>();                                 // with the first block, the queries
  __syncthreads();
  uint32_t q[D / 16][4];
#pragma unroll
  for (int d = 0; d < D / 16; d++) query_fragment<T, D>(q[d], shared.q, d, lane);

  RowPair state;
  state.to_log2 = score_to_log2(w);
  for (int r = 0; r < 2; r++) {
    state.position[r] = position;
    state.oldest[r] = w.oldest_key(position);
  }
  float out[D / 8][4] = {};
  for (int b = range.begin + warp; b < range.end; b += warps) {
    wait_for_copies<Shared::stages - 2>();
    __syncwarp();
    load(b + (Shared::stages - 1) * warps, next);
    next = number(b + Shared::stages * warps);
    const BlockTile<T, D>& tile = shared.ring[warp][(b - range.begin) / warps % Shared::stages];
    float s[2][4] = {}, factor[2];
#pragma unroll
    for (int d = 0; d < D / 16; d++) {
      uint32_t k[4];
      tile.key_fragments(k, d, lane);
      multiply_add<T>(s[0], q[d], k[0], k[1]);
      multiply_add<T>(s[1], q[d], k[2], k[3]);
    }
    state.update(w, s, b * block_tokens, true, factor, lane);
    if (__any_sync(0xffffffffu, factor[0] != 1 || factor[1] != 1))
#pragma unroll
      for (int n = 0; n < D / 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) out[n][e] *= factor[e / 2];
    const uint32_t p[4] = {pair_of<T>(s[0][0], s[0][1]), pair_of<T>(s[0][2], s[0][3]), pair_of<T>(s[1][0], s[1][1]),
                           pair_of<T>(s[1][2], s[1][3])};
#pragma unroll
    for (int d = 0; d < D / 16; d++) {
      uint32_t v[4];
      tile.value_fragments(v, d, lane);
      multiply_add<T>(out[2 * d], p, v[0], v[1]);
      multiply_add<T>(out[2 * d + 1], p, v[2], v[3]);
    }
    __syncwarp();
  }
  wait_for_copies<0>();
  __syncthreads();  // the sums of the warps take the place of the rings

#pragma unroll
  for (int r = 0; r < 2; r++) {
    const int row = lane / 4 + r * 8;
    const float total = quad_sum(state.total[r]);
    if (lane % 4 == 0) shared.highest[warp][row] = state.highest_in_log2(r), shared.total[warp][row] = total;
#pragma unroll
    for (int n = 0; n < D / 8; n++)
      *reinterpret_cast<float2*>(&shared.out[warp][row][n * 8 + lane % 4 * 2]) = make_float2(out[n][r * 2], out[n][r * 2 + 1]);
  }
  __syncthreads();
  add_up_warps(shared, w, item.token, first_head, heads);
}

template <class T, int D>
void submit(Queue<Cuda>& queue, AttentionWork w, int64_t items, int64_t blocks) {
  const int needed = (w.group + rows - 1) / rows;
  w.tile_heads = (w.group + needed - 1) / needed;
  const int pieces = (w.group + w.tile_heads - 1) / w.tile_heads;
  w.part_unit = DecodeShared<T, D>::warps;
  const auto at_once =
      std::clamp<int64_t>(queue.properties.shared_bytes_per_block / static_cast<int64_t>(sizeof(DecodeShared<T, D>) + 1024), 1, 4);
  choose_splits(queue, w, items, items * w.kv_heads * pieces, at_once, blocks);
  launch(queue, Attention::name, decode_kernel<T, D>,
         {dim3(static_cast<unsigned>(items), static_cast<unsigned>(w.kv_heads * pieces), static_cast<unsigned>(w.splits)),
          DecodeShared<T, D>::warps * 32, sizeof(DecodeShared<T, D>), true},
         {}, w);
  merge_parts(queue, Attention::name, w, items);
}

}  // namespace

bool attend_decode(Queue<Cuda>& queue, const AttentionWork& w, DType cache, int64_t items, int64_t blocks) {
  bool done = true;
  const auto by_dim = [&](auto type) {
    using T = typename decltype(type)::type;
    switch (w.key_dim) {
      case 64: return submit<T, 64>(queue, w, items, blocks);
      case 80: return submit<T, 80>(queue, w, items, blocks);
      case 96: return submit<T, 96>(queue, w, items, blocks);
      case 128: return submit<T, 128>(queue, w, items, blocks);
      case 192: return submit<T, 192>(queue, w, items, blocks);
      case 256: return submit<T, 256>(queue, w, items, blocks);
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
