// LatentAppend and LatentAttention: one cached row per token is the key of every head, and its first components are the value.
// Bound by FLOPs from about 8 heads on; attention_rows_tile.h reads a row once for 16 heads.
#include <algorithm>

#include "backends/cpu/queue.h"
#include "core/check.h"
#include "ops/batch.h"
#include "ops/cpu/attention.h"
#include "ops/cpu/rows.h"
#include "ops/kernels.h"

namespace infernum {

void kernel(LatentAppend, Queue<Cpu>& queue, View<Cpu> latent, View<Cpu> c, View<Cpu> kr, View<Cpu> positions, View<Cpu> query_start,
            View<Cpu> block_table) {
  const RowOps& ops = row_ops(queue.isa);
  const int64_t width = latent.cols();
  const int32_t* start = query_start.as<const int32_t>();
  queue.parallel_for(c.rows(), 64, [&](int64_t begin, int64_t end) {
    std::vector<float> c_row, kr_row;
    for (int64_t t = begin; t < end; t++) {
      const int64_t sequence = std::upper_bound(start, start + query_start.cols(), static_cast<int32_t>(t)) - start - 1;
      const int32_t position = positions.as<const int32_t>()[t];
      const int64_t block = block_table.row<const int32_t>(sequence)[position / block_tokens];
      char* to = latent.as<char>() + bytes_of(latent.dtype, (block * block_tokens + position % block_tokens) * width);
      ops.from_f32(to, latent.dtype, read_row(ops, c, t, c_row), c.cols());
      ops.from_f32(to + bytes_of(latent.dtype, c.cols()), latent.dtype, read_row(ops, kr, t, kr_row), kr.cols());
    }
  });
}

void kernel(LatentAttention, Queue<Cpu>& queue, View<Cpu> y, View<Cpu> q, View<Cpu> latent, View<Cpu> positions, View<Cpu> query_start,
            View<Cpu> block_table, LatentParams p) {
  AttentionWork work{y, q, positions, query_start, block_table};
  work.group = q.cols() / (p.rank + p.rope);
  work.key_dim = work.value_stride = p.rank + p.rope;
  work.value_dim = p.rank;
  work.block_stride = work.key_dim * block_tokens;
  work.k = work.v = latent.data;
  work.cache = latent.dtype;
  work.keys = KeyLayout::Rows;
  work.scale = p.scale;
  run_attention(queue, work);
}

}  // namespace infernum
