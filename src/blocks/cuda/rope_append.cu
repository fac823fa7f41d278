// RopeAppend fused, for steps of few tokens: one launch in place of three. Long prompts are cached in whole blocks, which CacheAppend does.
#include "blocks/rope_append.h"

#include "ops/cuda/map_rows.cuh"
#include "ops/cuda/sequences.cuh"

namespace infernum {
namespace {

using cuda::from_float;
using cuda::Rows;
using cuda::to_float;

/// Where a token's keys and values go: caches of T (blocks, heads, D, block_tokens) and (blocks, heads, block_tokens, D).
template <class T>
struct Caches {
  T *k, *v;
  cuda::Sequences sequences;

  __device__ void put(int64_t block_and_head, int slot, unsigned dim, unsigned i, float key, float value) const {
    const int64_t base = block_and_head * dim * cuda::block_tokens;
    k[base + int64_t{i} * cuda::block_tokens + slot] = from_float<T>(key);
    v[base + int64_t{slot} * dim + i] = from_float<T>(value);
  }
};

/// Floor: latency; bytes of q, k and v, read and written. Grid (pieces of a row, tokens). A thread rotates a pair of a query's or a key's
/// head, or passes on one element, and caches the key's with what the value has in the same places.
template <class T, class C>
__global__ void rope_append_kernel(Rows<T> y, Rows<const T> q, Rows<const T> k, Rows<const T> v, Rows<const float> table, Caches<C> caches,
                                   unsigned q_heads, unsigned kv_heads, unsigned dim, unsigned half, bool interleaved) {
  cuda::begin_early();
  const unsigned units = dim - half, j = blockIdx.x * blockDim.x + threadIdx.x, head = j / units, unit = j % units;
  if (head >= q_heads + kv_heads) return;
  const int t = static_cast<int>(blockIdx.y);
  const bool pair = unit < half, query = head < q_heads;
  const unsigned one = !pair ? half + unit : interleaved ? 2 * unit : unit, other = interleaved ? one + 1 : one + half;
  const unsigned kv_head = head - q_heads;
  const T* in = query ? q[t] + int64_t{head} * dim : k[t] + int64_t{kv_head} * dim;
  float a = to_float(in[one]), b = 0;
  if (pair) {
    const float u = a, w = to_float(in[other]), cosine = table[t][unit], sine = table[t][half + unit];
    a = u * cosine - w * sine;
    b = w * cosine + u * sine;
  }
  if (query) {
    T* out = y[t] + int64_t{head} * dim;
    out[one] = from_float<T>(a);
    if (pair) out[other] = from_float<T>(b);
    return;
  }
  const cuda::Sequences& s = caches.sequences;
  const int position = s.positions[t], slot = position % cuda::block_tokens;
  const int64_t at = int64_t{s.blocks(s.of(t))[position / cuda::block_tokens]} * kv_heads + kv_head;
  const T* value = v[t] + int64_t{kv_head} * dim;
  // Rounded to the activations' type first, as when the rotated key is a tensor.
  caches.put(at, slot, dim, one, to_float(from_float<T>(a)), to_float(value[one]));
  if (pair) caches.put(at, slot, dim, other, to_float(from_float<T>(b)), to_float(value[other]));
}

/// The block's parts one after the other.
void in_parts(Queue<Cuda>& queue, const View<Cuda>& y, const View<Cuda>& q, const View<Cuda>& k, const View<Cuda>& v,
              const View<Cuda>& table, const View<Cuda>& k_cache, const View<Cuda>& v_cache, const View<Cuda>& positions,
              const View<Cuda>& query_start, const View<Cuda>& block_table, RopeParams p) {
  kernel(Rope{}, queue, y, q, table, p);
  View<Cuda> rotated = k;
  rotated.stride = k.cols();
  const auto memory = queue.memory.allocate(rotated.bytes());
  rotated.data = memory.get();
  kernel(Rope{}, queue, rotated, k, table, p);
  kernel(CacheAppend{}, queue, k_cache, v_cache, rotated, v, positions, query_start, block_table);
}

}  // namespace

void kernel(RopeAppend, Queue<Cuda>& queue, View<Cuda> y, View<Cuda> q, View<Cuda> k, View<Cuda> v, View<Cuda> table, View<Cuda> k_cache,
            View<Cuda> v_cache, View<Cuda> positions, View<Cuda> query_start, View<Cuda> block_table, RopeParams p) {
  const cuda::Sequences sequences(positions, query_start, block_table);
  const int64_t tokens = q.rows(), dim = p.head_dim, half = table.cols() / 2, q_heads = q.cols() / dim, kv_heads = k.cols() / dim;
  if (tokens >= 2 * sequences.count + cuda::block_tokens || tokens > 1024 || v.dtype != k.dtype)
    return in_parts(queue, y, q, k, v, table, k_cache, v_cache, positions, query_start, block_table, p);
  const int64_t threads = 128, items = (q_heads + kv_heads) * (dim - half);
  check(items < int64_t{1} << 31, "rope_append: a row too long", q.cols(), k.cols());
  const Grid grid{dim3(static_cast<unsigned>(cuda::ceil_div(items, threads)), static_cast<unsigned>(tokens)),
                  dim3(static_cast<unsigned>(threads)), 0, true};
  cuda::dispatch_float(q.dtype, [&]<class T>(cuda::Type<T>) {
    cuda::dispatch_float(k_cache.dtype, [&]<class C>(cuda::Type<C>) {
      launch(queue, RopeAppend::name, rope_append_kernel<T, C>, grid, {&y, &q, &k, &v, &table, &k_cache, &v_cache}, cuda::rows<T>(y),
             cuda::rows<const T>(q), cuda::rows<const T>(k), cuda::rows<const T>(v), cuda::rows<const float>(table),
             Caches<C>{k_cache.as<C>(), v_cache.as<C>(), sequences}, q_heads, kv_heads, dim, half, p.interleaved);
    });
  });
}

}  // namespace infernum
