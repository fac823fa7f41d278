// Attention over paged keys and values: which kernel takes what.
#include "backends/cuda/launch.cuh"
#include "ops/cuda/attention.cuh"
#include "ops/kernels.h"

namespace infernum {

void kernel(Attention, Queue<Cuda>& queue, View<Cuda> y, View<Cuda> q, View<Cuda> k_cache, View<Cuda> v_cache, View<Cuda> positions,
            View<Cuda> query_start, View<Cuda> block_table, View<Cuda> sinks, AttentionParams p) {
  const int64_t tokens = q.rows();
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
  attend_general(queue, w, k_cache.dtype, tokens, cuda::most_blocks(p.context, block_table, p.window, p.chunk));
}

}  // namespace infernum
