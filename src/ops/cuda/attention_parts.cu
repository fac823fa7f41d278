// Split keys: into how many parts, and the merge of their results.
#include <algorithm>

#include "backends/cuda/launch.cuh"
#include "ops/cuda/attention.cuh"

namespace infernum::cuda {
namespace {

constexpr int merge_threads = 256, most_splits = 128;

/// Floor: bytes of the partial results. Grid (heads, items): a block merges one row. A thread takes V columns of every `groups`-th part;
/// what these groups have is added in order.
template <int V>
__global__ void __launch_bounds__(merge_threads) merge_kernel(AttentionWork w) {
  __shared__ float factor[most_splits], highest_of_warp[merge_threads / 32];
  __shared__ float sums[merge_threads * V];
  begin_early();
  const int head = blockIdx.x, item = blockIdx.y, token = w.single_tokens ? decode_item(w, item).token : item;
  if (token < 0) return;
  const BlockRange all = blocks_of(w, w.sequences.positions[token]);
  const int size = part_blocks(w, all), parts = (all.end - all.begin + size - 1) / size;
  const int own = threadIdx.x;
  const float* weights = w.weights + w.part(item, head, 0) * 2;
  const float own_highest = own < parts ? weights[2 * own] : -INFINITY, own_total = own < parts ? weights[2 * own + 1] : 0.f;
  const float of_warp = warp_max(own_highest);
  if (own % 32 == 0) highest_of_warp[own / 32] = of_warp;
  __syncthreads();
  float highest = -INFINITY;
  for (const float x : highest_of_warp) highest = fmaxf(highest, x);
  const float own_factor = exp2f(own_highest - highest), total = block_sum(own_factor * own_total);
  if (own < parts) factor[own] = own_factor * final_factor(w, head, highest, total);
  __syncthreads();

  const int lanes = min(merge_threads, w.value_dim / V), groups = merge_threads / lanes, group = own / lanes;
  const float* from = w.partial + w.part(item, head, 0) * w.value_dim;
  for (int first = 0; first < w.value_dim; first += lanes * V) {  // once, unless there are more columns than threads
    const int column = first + own % lanes * V;
    float sum[V] = {};
    if (group < groups && column < w.value_dim)
#pragma unroll 8
      for (int p = group; p < parts; p += groups) {
        const auto part = *reinterpret_cast<const Pack<float, V>*>(from + static_cast<int64_t>(p) * w.value_dim + column);
#pragma unroll
        for (int i = 0; i < V; i++) sum[i] += factor[p] * part.values[i];
      }
    for (int i = 0; i < V; i++) sums[own * V + i] = sum[i];
    __syncthreads();
    if (group == 0 && column < w.value_dim)
      for (int i = 0; i < V; i++) {
        float x = 0;
        for (int g = 0; g < groups; g++) x += sums[(g * lanes + own) * V + i];
        w.y.set(token, head * w.value_dim + column + i, x);
      }
    __syncthreads();
  }
}

}  // namespace

int64_t most_blocks(int64_t context, const View<Cuda>& block_table, int window, int chunk) {
  int64_t blocks = block_table.cols();
  if (context > 0) blocks = std::min(blocks, (context + block_tokens - 1) / block_tokens);
  if (window > 0) blocks = std::min<int64_t>(blocks, window / block_tokens + 2);
  if (chunk > 0) blocks = std::min<int64_t>(blocks, chunk / block_tokens + 2);
  return blocks;
}

void choose_splits(Queue<Cuda>& queue, AttentionWork& work, int64_t items, int64_t thread_blocks, int64_t at_once, int64_t blocks) {
  work.splits = 1;
  if (thread_blocks == 0 || blocks <= 4 * work.part_unit) return;  // a merge would take longer than 4 steps
  const int64_t slots = queue.properties.multiprocessors * at_once, limit = std::min<int64_t>(blocks / work.part_unit, most_splits);
  const auto busy = [&](int64_t splits) {
    const int64_t n = thread_blocks * splits;
    return static_cast<double>(n) / static_cast<double>((n + slots - 1) / slots * slots);
  };
  double best = 0;
  for (int64_t s = 1; s <= limit; s++) best = std::max(best, busy(s));
  while (busy(work.splits) < 0.9 * best) work.splits++;
  if (work.splits == 1) return;
  const int64_t parts = items * work.heads * work.splits;
  work.partial = static_cast<float*>(queue.scratch(parts * (work.value_dim + 2) * static_cast<int64_t>(sizeof(float))));
  work.weights = work.partial + parts * work.value_dim;
}

void merge_parts(Queue<Cuda>& queue, std::string_view op, const AttentionWork& work, int64_t items) {
  if (work.splits == 1) return;
  launch(queue, op, work.value_dim % 4 == 0 ? merge_kernel<4> : merge_kernel<1>,
         {dim3(static_cast<unsigned>(work.heads), static_cast<unsigned>(items)), merge_threads, 0, true}, {}, work);
}

}  // namespace infernum::cuda
