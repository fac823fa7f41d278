// The work of an attention op as its kernels see it, the parts that keys are cut into, and the end of a row's softmax.
#pragma once
#include "backends/cuda/queue.h"
#include "ops/cuda/sequences.cuh"

namespace infernum::cuda {

/// Query rows (token, head) of one tile share a kv head. Blocks are cache blocks of 16 keys.
struct AttentionWork {
  AnyRows y, q;  ///< (T, heads * value_dim), (T, heads * key_dim)
  Sequences sequences;
  const void *k, *v;
  const float* sinks;  ///< (heads) or null
  int heads = 0, kv_heads = 1, group = 1, key_dim = 0, value_dim = 0;
  int window = 0, chunk = 0;
  float scale = 1, softcap = 0;
  int tile_tokens = 1, tile_heads = 1;  ///< of a thread block
  bool single_tokens = false;           ///< a kernel for single tokens takes sequences of one token, and no others; otherwise all tokens
  int splits = 1;                       ///< parts at most that a token's keys are cut into; 1: the kernel stores y itself
  float* partial = nullptr;             ///< (items, heads, splits, value_dim)
  float* weights = nullptr;             ///< (items, heads, splits, 2): highest score in log2, sum

  __device__ int oldest_key(int position) const {
    int oldest = 0;
    if (window > 0) oldest = max(oldest, position - window + 1);
    if (chunk > 0) oldest = max(oldest, position / chunk * chunk);
    return oldest;
  }
  __device__ int64_t part(int token, int head, int split) const { return (static_cast<int64_t>(token) * heads + head) * splits + split; }
};

/// What a block of a kernel for single tokens is about; token -1: nothing.
struct DecodeItem {
  int sequence, token, position;
};
__device__ inline DecodeItem decode_item(const AttentionWork& w, int item) {
  if (!w.single_tokens) {
    const int position = w.sequences.positions[item];  // on its way while the sequence is looked for
    return {w.sequences.of(item), item, position};
  }
  const int start = w.sequences.query_start[item];
  if (w.sequences.query_start[item + 1] != start + 1) return {item, -1, 0};
  return {item, start, w.sequences.positions[start]};
}

/// Cache blocks begin .. end - 1.
struct BlockRange {
  int begin, end;
};

/// Blocks per part: equal parts of whole chunks of 64 keys, so that short sequences have fewer than `splits`.
__device__ inline int part_blocks(int blocks, int splits) { return ((blocks + splits - 1) / splits + 3) / 4 * 4; }

__device__ inline BlockRange part_of(BlockRange all, int split, int splits) {
  if (splits == 1) return all;
  const int size = part_blocks(all.end - all.begin, splits), begin = min(all.end, all.begin + split * size);
  return {begin, min(all.end, begin + size)};
}

/// Blocks that a token at `position` reads.
__device__ inline BlockRange blocks_of(const AttentionWork& w, int position) {
  return {w.oldest_key(position) / block_tokens, position / block_tokens + 1};
}

/// What a row's values, summed with weights 2^(score - highest) of sum `total`, are multiplied by at the end. A sink is a key without a
/// value: it joins the sum only.
__device__ inline float final_factor(const AttentionWork& w, int head, float highest, float total) {
  if (!w.sinks) return 1 / total;
  const float sink = w.sinks[head] * log2_of_e, limit = fmaxf(highest, sink), factor = exp2f(highest - limit);
  return factor / (total * factor + exp2f(sink - limit));
}

/// From a product of query and key, times scale, to a score in log2.
__device__ inline float score_of(const AttentionWork& w, float product) {
  return (w.softcap > 0 ? w.softcap * tanhf(product / w.softcap) : product) * log2_of_e;
}

/// Most cache blocks that a token can see, as far as the host knows.
int64_t most_blocks(int64_t context, const View<Cuda>& block_table, int window, int chunk);

/// Parts that keys of `items` tokens are cut into so that `thread_blocks` become as many as keep the device busy, which runs `at_once` on a
/// multiprocessor; and memory for their results. `blocks`: cache blocks of the longest sequence.
void choose_splits(Queue<Cuda>& queue, AttentionWork& work, int64_t items, int64_t thread_blocks, int64_t at_once, int64_t blocks);

/// y = the parts of every row, merged in order; nothing if there are none.
void merge_parts(Queue<Cuda>& queue, std::string_view op, const AttentionWork& work, int64_t items);

/// Single tokens, for q, y and cache of one 16-bit type; false: no kernel for the head dimension. Sets tiles and splits itself.
bool attend_decode(Queue<Cuda>& queue, const AttentionWork& work, DType cache, int64_t items, int64_t blocks);

/// Tiles of tokens of one sequence, likewise; leaves sequences of one token out if work.single_tokens.
bool attend_prefill(Queue<Cuda>& queue, const AttentionWork& work, DType cache, int64_t tokens);

/// Latents, for q, y and cache of one 16-bit type; false: no kernel for the dimensions. Sets tiles and splits itself.
bool attend_latents(Queue<Cuda>& queue, const AttentionWork& work, DType cache, int64_t tokens, int64_t blocks);

/// What is not one row after the other in steps of `bytes` cannot be copied in such pieces.
inline bool aligned(const View<Cuda>& v, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(v.data) % static_cast<uintptr_t>(bytes) == 0 && v.stride * info(v.dtype).bytes % bytes == 0;
}
/// Whether tensor cores can multiply q with the cache.
inline bool of_one_half_type(const View<Cuda>& y, const View<Cuda>& q, const View<Cuda>& cache) {
  return (q.dtype == DType::F16 || q.dtype == DType::BF16) && cache.dtype == q.dtype && y.dtype == q.dtype && aligned(q, 16) &&
         aligned(y, 4) && aligned(cache, 16);
}

/// Any types and sizes, in f32. Sets tiles and splits itself.
void attend_general(Queue<Cuda>& queue, AttentionWork work, DType cache, int64_t tokens, int64_t blocks);

}  // namespace infernum::cuda
