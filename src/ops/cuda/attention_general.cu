// Attention over keys by components and values by rows, for every type and head dimension: plain multiply-adds in f32.
#include <algorithm>

#include "backends/cuda/launch.cuh"
#include "ops/cuda/attention.cuh"
#include "ops/kernels.h"

namespace infernum::cuda {
namespace {

constexpr int warps = 4;

/// How the lanes of a warp share a block's values: `lanes` of them take a key, `keys` keys at once.
struct ValueLanes {
  int lanes, keys;
};
__host__ __device__ constexpr ValueLanes value_lanes(int dim, int vector) {
  const int chunks = dim / vector, lanes = chunks < 32 ? chunks : 32;
  return {lanes, 32 / lanes};
}

/// s[j] summed over the lanes that read other components of the same keys. Every step halves what a lane is in charge of: in the end the
/// lane has one key's sum, that of key_of_lane().
template <int Keys>
__device__ float sum_of_key(float (&s)[Keys], int lane) {
  int step = 16;
#pragma unroll
  for (int half = Keys / 2; half > 0; half /= 2, step /= 2) {
    const bool upper = lane & step;
#pragma unroll
    for (int j = 0; j < half; j++) {
      const float mine = upper ? s[j + half] : s[j], other = upper ? s[j] : s[j + half];
      s[j] = mine + __shfl_xor_sync(0xffffffffu, other, step);
    }
  }
  return s[0] + __shfl_xor_sync(0xffffffffu, s[0], 16 / Keys);
}
template <int Keys>
__device__ int key_of_lane(int lane) {
  if constexpr (Keys == 8) return lane % 2 * 8 + (lane & 16) / 4 + (lane & 8) / 4 + (lane & 4) / 4;
  return lane % 4 * 4 + (lane & 16) / 8 + (lane & 8) / 8;
}

/// Floor: bytes of K and V for few rows, multiply-adds for many. Grid (token tiles, kv heads * pieces of their group, splits).
/// A block has up to H rows (token, head); each of its warps takes every fourth cache block, with sums of its own that are added in the
/// end (online softmax: Milakov and Gimelshein 2018). A lane loads 16 bytes: a component of 8 or 4 keys, and V components of a value, N
/// times.
template <class T, int V, int N, int H>
__global__ void __launch_bounds__(warps * 32) attend_kernel(AttentionWork w) {
  constexpr int keys = 16 / sizeof(T), key_lanes = block_tokens / keys, step = 32 / key_lanes;
  extern __shared__ float shared[];
  __shared__ float highest_s[warps][H], total_s[warps][H];
  __shared__ int position_s[H], oldest_s[H];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, dim = w.key_dim, split = blockIdx.z;
  const int pieces = (w.group + w.tile_heads - 1) / w.tile_heads, kv_head = blockIdx.y / pieces, piece = blockIdx.y % pieces;
  TokenTile tile;
  if (w.tile_tokens == 1)
    tile = {w.sequences.of(blockIdx.x), static_cast<int>(blockIdx.x), 1};
  else
    tile = tile_of(w.sequences, blockIdx.x, w.tile_tokens);
  if (tile.tokens == 0) return;
  const int first_head = kv_head * w.group + piece * w.tile_heads, heads = min(w.tile_heads, w.group - piece * w.tile_heads);
  const int rows = tile.tokens * heads;
  const int32_t* table = w.sequences.blocks(tile.sequence);
  const int first_key = w.oldest_key(w.sequences.positions[tile.first]);
  const int end_key = w.sequences.positions[tile.first + tile.tokens - 1] + 1;
  const BlockRange range = part_of(w, {first_key / block_tokens, (end_key + block_tokens - 1) / block_tokens}, split);
  if (range.begin == range.end) return;

  float* q_s = shared;                                   // (dim, H)
  float* p_s = q_s + dim * H + warp * H * block_tokens;  // (warps, H, 16): this warp's
  float* out_s = q_s + dim * H + warps * H * block_tokens;
  for (int i = threadIdx.x; i < H * dim; i += warps * 32) {
    const int r = i / dim, d = i % dim;
    q_s[d * H + r] = r < rows ? w.q.get(tile.first + r / heads, (first_head + r % heads) * dim + d) * w.scale : 0.f;
  }
  if (threadIdx.x < H) {
    const int r = threadIdx.x, position = r < rows ? w.sequences.positions[tile.first + r / heads] : -1;
    position_s[r] = position;
    oldest_s[r] = r < rows ? w.oldest_key(position) : 0;
  }
  __syncthreads();

  const auto [lanes, keys_at_once] = value_lanes(dim, V);
  const int chunks = dim / V, chunk = lane % lanes, value_key = lane / lanes, my_key = key_of_lane<keys>(lane);
  float highest[H], total[H], out[H][N * V];
#pragma unroll
  for (int r = 0; r < H; r++) {
    highest[r] = -INFINITY;
    total[r] = 0;
#pragma unroll
    for (int j = 0; j < N * V; j++) out[r][j] = 0;
  }
  for (int b = range.begin + warp; b < range.end; b += warps) {
    const int64_t base = (static_cast<int64_t>(table[b]) * w.kv_heads + kv_head) * dim * block_tokens;
    const T *k = static_cast<const T*>(w.k) + base, *v = static_cast<const T*>(w.v) + base;
    float s[H][keys];
#pragma unroll
    for (int r = 0; r < H; r++)
#pragma unroll
      for (int j = 0; j < keys; j++) s[r][j] = 0;
#pragma unroll 4
    for (int d = lane / key_lanes; d < dim; d += step) {
      const auto loaded = *reinterpret_cast<const Pack<T, keys>*>(k + d * block_tokens + lane % key_lanes * keys);
      float of_keys[keys];
#pragma unroll
      for (int j = 0; j < keys; j++) of_keys[j] = to_float(loaded.values[j]);
#pragma unroll
      for (int r = 0; r < H; r++) {
        const float q = q_s[d * H + r];
#pragma unroll
        for (int j = 0; j < keys; j++) s[r][j] += q * of_keys[j];
      }
    }
    const int key = b * block_tokens + my_key;
#pragma unroll
    for (int r = 0; r < H; r++) {
      const float product = sum_of_key<keys>(s[r], lane);
      const float x = key >= oldest_s[r] && key <= position_s[r] ? score_of(w, product) : -INFINITY;
      const float limit = fmaxf(highest[r], warp_max(x));
      const float factor = limit == -INFINITY ? 1.f : exp2f(highest[r] - limit), p = limit == -INFINITY ? 0.f : exp2f(x - limit);
      highest[r] = limit;
      total[r] = total[r] * factor + p;
      p_s[r * block_tokens + my_key] = p;
#pragma unroll
      for (int j = 0; j < N * V; j++) out[r][j] *= factor;
    }
    __syncwarp();
    // Slots before the first and behind the last key may hold anything.
    const int from = max(0, first_key - b * block_tokens), to = min(block_tokens, end_key - b * block_tokens);
    for (int j = from + value_key; value_key < keys_at_once && j < to; j += keys_at_once)
#pragma unroll
      for (int n = 0; n < N; n++) {
        if (chunk + n * 32 >= chunks) continue;
        const auto loaded = *reinterpret_cast<const Pack<T, V>*>(v + j * dim + (chunk + n * 32) * V);
#pragma unroll
        for (int r = 0; r < H; r++) {
          const float p = p_s[r * block_tokens + j];
#pragma unroll
          for (int i = 0; i < V; i++) out[r][n * V + i] += p * to_float(loaded.values[i]);
        }
      }
    __syncwarp();
  }

#pragma unroll
  for (int r = 0; r < H; r++) {
    const float sum = warp_sum(total[r]) * 0.5f;  // two lanes have each key
    if (lane == 0) highest_s[warp][r] = highest[r], total_s[warp][r] = sum;
  }
  __syncthreads();
#pragma unroll
  for (int r = 0; r < H; r++) {
    if (r >= rows) break;
    float limit = -INFINITY, sum = 0;
    for (int i = 0; i < warps; i++) limit = fmaxf(limit, highest_s[i][r]);
    for (int i = 0; i < warps; i++) sum += total_s[i][r] * exp2f(highest_s[i][r] - limit);
    const float factor = exp2f(highest[r] - limit);
    if (value_key < keys_at_once)
#pragma unroll
      for (int n = 0; n < N; n++) {
        if (chunk + n * 32 >= chunks) continue;
#pragma unroll
        for (int i = 0; i < V; i++) out_s[(warp * keys_at_once + value_key) * dim + (chunk + n * 32) * V + i] = out[r][n * V + i] * factor;
      }
    __syncthreads();
    const int token = tile.first + r / heads, head = first_head + r % heads;
    const float end = w.splits == 1 ? final_factor(w, head, limit, sum) : 1.f;
    for (int d = threadIdx.x; d < dim; d += warps * 32) {
      float x = 0;
      for (int i = 0; i < warps * keys_at_once; i++) x += out_s[i * dim + d];
      if (w.splits == 1)
        w.y.set(token, head * dim + d, x * end);
      else
        w.partial[w.part(token, head, split) * dim + d] = x;
    }
    if (w.splits > 1 && threadIdx.x == 0) {
      float* to = w.weights + w.part(token, head, split) * 2;
      to[0] = limit, to[1] = sum;
    }
    __syncthreads();
  }
}

/// Few tokens are taken one by one, and their keys split; many in tiles of one sequence.
template <class T, int V, int N, int H>
void submit(Queue<Cuda>& queue, AttentionWork& w, int64_t tokens, int64_t blocks) {
  const int pieces_needed = (w.group + H - 1) / H;
  w.tile_heads = (w.group + pieces_needed - 1) / pieces_needed;
  const int pieces = (w.group + w.tile_heads - 1) / w.tile_heads;
  const bool single = tokens <= std::max(w.sequences.count, 16);
  w.tile_tokens = single ? 1 : H / w.tile_heads;
  const int64_t tiles = w.tile_tokens == 1 ? tokens : tile_count(tokens, w.sequences.count, w.tile_tokens);
  const int64_t items = tiles * w.kv_heads * pieces;
  w.splits = 1;
  if (single) choose_splits(queue, w, tokens, items, 3, blocks);
  const int floats = w.key_dim * H + warps * H * block_tokens + warps * value_lanes(w.key_dim, V).keys * w.key_dim;
  launch(queue, Attention::name, attend_kernel<T, V, N, H>,
         {dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(w.kv_heads * pieces), static_cast<unsigned>(w.splits)), warps * 32,
          static_cast<size_t>(floats) * sizeof(float)},
         {}, w);
  merge_parts(queue, Attention::name, w, tokens);
}

}  // namespace

void attend_general(Queue<Cuda>& queue, AttentionWork w, DType cache, int64_t tokens, int64_t blocks) {
  check(w.key_dim >= 1 && w.key_dim <= 512, "attention: head dimensions from 1 to 512", w.key_dim);
  const bool decode = tokens <= std::max(w.sequences.count, 16);
  dispatch_float(cache, [&](auto type) {
    using T = typename decltype(type)::type;
    constexpr int wide = 16 / sizeof(T);
    const bool aligned = w.key_dim % wide == 0 && reinterpret_cast<uintptr_t>(w.v) % 16 == 0;
    check(reinterpret_cast<uintptr_t>(w.k) % 16 == 0, "attention: the keys' cache must be aligned to 16 bytes");
    if (!aligned) return submit<T, 1, 16, 4>(queue, w, tokens, blocks);
    if (w.key_dim > 256) return submit<T, wide, 16 / wide, 4>(queue, w, tokens, blocks);
    if (decode && w.group == 1) return submit<T, wide, 8 / wide, 1>(queue, w, tokens, blocks);
    if (decode && w.group <= 4) return submit<T, wide, 8 / wide, 4>(queue, w, tokens, blocks);
    submit<T, wide, 8 / wide, 8>(queue, w, tokens, blocks);
  });
}

}  // namespace infernum::cuda
