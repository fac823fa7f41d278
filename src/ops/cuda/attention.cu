// Attention over paged keys and values: which kernel takes what.
#include <algorithm>

#include "backends/cuda/launch.cuh"
#include "ops/cuda/attention.cuh"
#include "ops/kernels.h"

namespace infernum {
namespace {

/// Tensor cores multiply q and cache of one 16-bit type. A step of single tokens takes one kernel; any other step one for the prompts
/// and, where there are several sequences, one more for those of a single token, whose keys it splits.
bool attend_on_tensor_cores(Queue<Cuda>& queue, cuda::AttentionWork w, DType cache, int64_t tokens, int64_t blocks) {
  if (tokens <= std::max(w.sequences.count, 16)) return attend_decode(queue, w, cache, tokens, blocks);
  w.single_tokens = w.sequences.count > 1;
  return attend_prefill(queue, w, cache, tokens) && (!w.single_tokens || attend_decode(queue, w, cache, w.sequences.count, blocks));
}

}  // namespace

void kernel(Attention, Queue<Cuda>& queue, View<Cuda> y, View<Cuda> q, View<Cuda> k_cache, View<Cuda> v_cache, View<Cuda> positions,
            View<Cuda> query_start, View<Cuda> block_table, View<Cuda> sinks, AttentionParams p) {
  const int64_t tokens = q.rows(), blocks = cuda::most_blocks(p.context, block_table, p.window, p.chunk);
  if (tokens == 0) return;
  cuda::AttentionWork w{cuda::AnyRows(y), cuda::AnyRows(q), cuda::Sequences(positions, query_start, block_table),
                        k_cache.data,     v_cache.data,     sinks.as<const float>()};
  w.heads = static_cast<int>(q.cols() / p.head_dim);
  w.kv_heads = static_cast<int>(v_cache.size[1]);
  w.group = w.heads / w.kv_heads;
  w.key_dim = w.value_dim = p.head_dim;
  w.window = p.window;
  w.chunk = p.chunk;
  w.scale = p.scale;
  w.softcap = p.softcap;
  if (p.scale > 0 && cuda::of_one_half_type(y, q, k_cache) && cuda::aligned(v_cache, 16) &&
      attend_on_tensor_cores(queue, w, k_cache.dtype, tokens, blocks))
    return;
  attend_general(queue, w, k_cache.dtype, tokens, blocks);
}

}  // namespace infernum
