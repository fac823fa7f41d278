// CacheAppend and Attention: cuts a ragged batch into tiles of one kv head and a few tokens, and hands them to the threads.
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

namespace {

/// Tokens first .. first + tokens - 1 of the batch, all of one sequence, for one kv head.
struct Task {
  int64_t sequence, first, tokens, kv_head;
};

/// About 32 query rows per task: enough to reuse each key from registers, few enough to stay in L1.
std::vector<Task> cut(const int32_t* start, int64_t sequences, int64_t kv_heads, int64_t group) {
  const int64_t tokens = std::max<int64_t>(1, 32 / group);
  std::vector<Task> tasks;
  for (int64_t s = 0; s < sequences; s++)
    for (int64_t t = start[s]; t < start[s + 1]; t += tokens)
      for (int64_t h = 0; h < kv_heads; h++) tasks.push_back({s, t, std::min(tokens, start[s + 1] - t), h});
  return tasks;
}

}  // namespace

void kernel(Attention, Queue<Cpu>& queue, View<Cpu> y, View<Cpu> q, View<Cpu> k_cache, View<Cpu> v_cache, View<Cpu> positions,
            View<Cpu> query_start, View<Cpu> block_table, View<Cpu> sinks, AttentionParams p) {
  const RowOps& ops = row_ops(queue.isa);
  const AttendTile attend = attend_tile(queue.isa, k_cache.dtype);
  const int64_t kv_heads = v_cache.size[1], D = p.head_dim, group = q.cols() / D / kv_heads;
  const int64_t element = info(k_cache.dtype).bytes, per_head = D * block_tokens;
  const std::vector<Task> tasks = cut(query_start.as<const int32_t>(), query_start.cols() - 1, kv_heads, group);
  queue.parallel_for(static_cast<int64_t>(tasks.size()), 1, [&](int64_t begin, int64_t end) {
    std::vector<float> row, scratch, tile_q, tile_out, tile_sinks;
    std::vector<int32_t> position;
    for (int64_t i = begin; i < end; i++) {
      const Task& task = tasks[static_cast<size_t>(i)];
      const int64_t rows = task.tokens * group;
      scratch.resize(static_cast<size_t>(tile_scratch(rows)));
      tile_q.resize(static_cast<size_t>(rows * D));
      tile_out.resize(static_cast<size_t>(rows * D));
      position.resize(static_cast<size_t>(rows));
      tile_sinks.resize(sinks.data ? static_cast<size_t>(rows) : 0);
      for (int64_t t = 0; t < task.tokens; t++) {
        const float* from = read_row(ops, q, task.first + t, row) + task.kv_head * group * D;
        for (int64_t n = 0; n < group * D; n++) tile_q[static_cast<size_t>(t * group * D + n)] = from[n] * p.scale;
        for (int64_t g = 0; g < group; g++) {
          position[static_cast<size_t>(t * group + g)] = positions.as<const int32_t>()[task.first + t];
          if (sinks.data) tile_sinks[static_cast<size_t>(t * group + g)] = sinks.as<const float>()[task.kv_head * group + g];
        }
      }
      const char *k = k_cache.as<const char>() + task.kv_head * per_head * element,
                 *v = v_cache.as<const char>() + task.kv_head * per_head * element;
      attend({tile_q.data(), tile_out.data(), position.data(), sinks.data ? tile_sinks.data() : nullptr, rows, D, k, v, kv_heads * per_head,
              block_table.row<const int32_t>(task.sequence), p.window, p.softcap, scratch.data()});
      for (int64_t t = 0; t < task.tokens; t++)
        ops.from_f32(y.row_bytes(task.first + t) + bytes_of(y.dtype, task.kv_head * group * D), y.dtype, tile_out.data() + t * group * D,
                     group * D);
    }
  });
}

}  // namespace infernum
