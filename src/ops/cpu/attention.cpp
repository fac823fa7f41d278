// CacheAppend and Attention over keys and values of their own heads.
#include "ops/cpu/attention.h"

#include <algorithm>

#include "core/dispatch.h"
#include "ops/batch.h"
#include "ops/cpu/rows.h"
#include "ops/kernels.h"

namespace infernum {

void kernel(CacheAppend, Queue<Cpu>& q, View<Cpu> k_cache, View<Cpu> v_cache, View<Cpu> k, View<Cpu> v, View<Cpu> positions,
            View<Cpu> query_start, View<Cpu> block_table) {
  const RowOps& ops = row_ops(q.isa);
  const int64_t heads = v_cache.size[1], head_dim = v_cache.size[3], per_block = heads * head_dim * block_tokens;
  const int32_t* start = query_start.as<const int32_t>();
  dispatch_float(k_cache.dtype, [&]<class T>(Type<T>) {
    q.parallel_for(k.rows(), 16, [&](int64_t begin, int64_t end) {
      std::vector<float> k_row, v_row;
      for (int64_t t = begin; t < end; t++) {
        const int64_t sequence = std::upper_bound(start, start + query_start.cols(), static_cast<int32_t>(t)) - start - 1;
        const int32_t position = positions.as<const int32_t>()[t];
        const int64_t base = block_table.row<const int32_t>(sequence)[position / block_tokens] * per_block, slot = position % block_tokens;
        const float *from_k = read_row(ops, k, t, k_row), *from_v = read_row(ops, v, t, v_row);
        for (int64_t h = 0; h < heads; h++) {
          T *to_k = k_cache.as<T>() + base + h * head_dim * block_tokens + slot,
            *to_v = v_cache.as<T>() + base + (h * block_tokens + slot) * head_dim;
          for (int64_t d = 0; d < head_dim; d++) {
            to_k[d * block_tokens] = static_cast<T>(from_k[h * head_dim + d]);
            to_v[d] = static_cast<T>(from_v[h * head_dim + d]);
          }
        }
      }
    });
  });
}

void kernel(Attention, Queue<Cpu>& queue, View<Cpu> y, View<Cpu> q, View<Cpu> k_cache, View<Cpu> v_cache, View<Cpu> positions,
            View<Cpu> query_start, View<Cpu> block_table, View<Cpu> sinks, AttentionParams p) {
  AttentionWork work{y, q, positions, query_start, block_table};
  work.sinks = sinks.data ? sinks.as<const float>() : nullptr;
  work.kv_heads = v_cache.size[1];
  work.group = q.cols() / p.head_dim / work.kv_heads;
  work.key_dim = work.value_dim = work.value_stride = p.head_dim;
  work.head_stride = p.head_dim * block_tokens;
  work.block_stride = work.kv_heads * work.head_stride;
  work.k = k_cache.data;
  work.v = v_cache.data;
  work.cache = k_cache.dtype;
  work.scale = p.scale;
  work.softcap = p.softcap;
  work.window = p.window;
  work.chunk = p.chunk;
  run_attention(queue, work);
}

}  // namespace infernum
