// CacheAppend and LatentAppend: the step's keys, values and latents go to the cache slots of their positions.
#include "backends/cuda/launch.cuh"
#include "ops/cuda/sequences.cuh"
#include "ops/kernels.h"

namespace infernum {
namespace {

using namespace cuda;

constexpr int threads = 256;

/// Cache block and slot of a token.
struct Place {
  int64_t block;
  int slot;
};
__device__ Place place_of(const Sequences& s, int token) {
  const int position = s.positions[token];
  return {s.blocks(s.of(token))[position / block_tokens], position % block_tokens};
}

/// Floor: bytes of k and v, read and written. Grid (tokens, pieces of 256 elements of a row).
template <class T>
__global__ void append_kernel(T* k_cache, T* v_cache, AnyRows k, AnyRows v, Sequences s, int heads, int dim) {
  begin_early();
  const int token = blockIdx.x, i = blockIdx.y * threads + threadIdx.x, h = i / dim, d = i % dim;
  if (h >= heads) return;
  const auto [block, slot] = place_of(s, token);
  const int64_t base = (block * heads + h) * dim * block_tokens;
  k_cache[base + d * block_tokens + slot] = from_float<T>(k.get(token, i));
  v_cache[base + slot * dim + d] = from_float<T>(v.get(token, i));
}

/// The same of tokens that fill 16 slots of one block: a thread holds one component of all 16 keys, and writes them side by side.
/// Grid (tiles of 16 tokens, pieces); tiles begin where the sequence's tokens of this step do, so that they fill blocks only if it began
/// with a block: other tiles write slot by slot.
template <class T>
__global__ void append_tiles_kernel(T* k_cache, T* v_cache, AnyRows k, AnyRows v, Sequences s, int heads, int dim) {
  const TokenTile tile = tile_of(s, blockIdx.x, block_tokens);
  const int i = blockIdx.y * threads + threadIdx.x, h = i / dim, d = i % dim;
  if (h >= heads || tile.tokens == 0) return;
  const int32_t* blocks = s.blocks(tile.sequence);
  const int first = s.positions[tile.first];
  if (tile.tokens == block_tokens && first % block_tokens == 0) {
    constexpr int wide = 16 / sizeof(T);
    const int64_t base = (static_cast<int64_t>(blocks[first / block_tokens]) * heads + h) * dim * block_tokens;
    for (int j = 0; j < block_tokens; j += wide) {
      Pack<T, wide> keys;
#pragma unroll
      for (int n = 0; n < wide; n++) keys.values[n] = from_float<T>(k.get(tile.first + j + n, i));
      *reinterpret_cast<Pack<T, wide>*>(k_cache + base + d * block_tokens + j) = keys;
    }
    for (int j = 0; j < block_tokens; j++) v_cache[base + j * dim + d] = from_float<T>(v.get(tile.first + j, i));
    return;
  }
  for (int j = 0; j < tile.tokens; j++) {
    const int position = s.positions[tile.first + j], slot = position % block_tokens;
    const int64_t base = (static_cast<int64_t>(blocks[position / block_tokens]) * heads + h) * dim * block_tokens;
    k_cache[base + d * block_tokens + slot] = from_float<T>(k.get(tile.first + j, i));
    v_cache[base + slot * dim + d] = from_float<T>(v.get(tile.first + j, i));
  }
}

/// Floor: bytes of c and kr, read and written. Grid (tokens, pieces of 256 elements of a row).
template <class T>
__global__ void append_latent_kernel(T* latent, AnyRows c, AnyRows kr, Sequences s, int rank, int width) {
  const int token = blockIdx.x, i = blockIdx.y * threads + threadIdx.x;
  if (i >= width) return;
  const auto [block, slot] = place_of(s, token);
  latent[(block * block_tokens + slot) * width + i] = from_float<T>(i < rank ? c.get(token, i) : kr.get(token, i - rank));
}

unsigned pieces(int64_t columns) { return static_cast<unsigned>((columns + threads - 1) / threads); }

}  // namespace

void kernel(CacheAppend, Queue<Cuda>& q, View<Cuda> k_cache, View<Cuda> v_cache, View<Cuda> k, View<Cuda> v, View<Cuda> positions,
            View<Cuda> query_start, View<Cuda> block_table) {
  const Sequences s(positions, query_start, block_table);
  const int64_t tokens = k.rows(), heads = v_cache.size[1], dim = v_cache.size[3];
  const bool tiles = tokens >= 2 * s.count + block_tokens && reinterpret_cast<uintptr_t>(k_cache.data) % 16 == 0;
  const Grid grid{dim3(static_cast<unsigned>(tiles ? tile_count(tokens, s.count, block_tokens) : tokens), pieces(heads * dim)), threads, 0,
                  !tiles};
  dispatch_float(k_cache.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    launch(q, CacheAppend::name, tiles ? append_tiles_kernel<T> : append_kernel<T>, grid, {&k_cache, &k, &v}, k_cache.as<T>(),
           v_cache.as<T>(), AnyRows(k), AnyRows(v), s, heads, dim);
  });
}

void kernel(LatentAppend, Queue<Cuda>& q, View<Cuda> latent, View<Cuda> c, View<Cuda> kr, View<Cuda> positions, View<Cuda> query_start,
            View<Cuda> block_table) {
  const Sequences s(positions, query_start, block_table);
  const Grid grid{dim3(static_cast<unsigned>(c.rows()), pieces(latent.cols())), threads};
  dispatch_float(latent.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    launch(q, LatentAppend::name, append_latent_kernel<T>, grid, {&latent, &c, &kr}, latent.as<T>(), AnyRows(c), AnyRows(kr), s, c.cols(),
           latent.cols());
  });
}

}  // namespace infernum
