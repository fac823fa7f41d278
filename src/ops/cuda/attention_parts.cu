// Split keys: into how many parts, and the merge of their results.
#include <algorithm>

#include "backends/cuda/launch.cuh"
#include "ops/cuda/attention.cuh"

namespace infernum::cuda {
namespace {

constexpr int merge_threads = 128, most_splits = 128;

/// Floor: bytes of the partial results. Grid (heads, items): a block merges one row.
__global__ void __launch_bounds__(merge_threads) merge_kernel(AttentionWork w) {
  __shared__ float factor[most_splits];
  begin_early();
  const int head = blockIdx.x, item = blockIdx.y, token = w.single_tokens ? decode_item(w, item).token : item;
  if (token < 0) return;
  const BlockRange all = blocks_of(w, w.sequences.positions[token]);
  const int size = part_blocks(all.end - all.begin, w.splits), parts = (all.end - all.begin + size - 1) / size;
  const float* weights = w.weights + w.part(item, head, 0) * 2;
  float highest = -INFINITY, total = 0;
  for (int p = 0; p < parts; p++) highest = fmaxf(highest, weights[2 * p]);
  for (int p = 0; p < parts; p++) total += exp2f(weights[2 * p] - highest) * weights[2 * p + 1];
  const float end = final_factor(w, head, highest, total);
  for (int p = threadIdx.x; p < parts; p += merge_threads) factor[p] = exp2f(weights[2 * p] - highest) * end;
  __syncthreads();
  const float* from = w.partial + w.part(item, head, 0) * w.value_dim;
  for (int d = threadIdx.x; d < w.value_dim; d += merge_threads) {
    float sum = 0;
#pragma unroll 8
    for (int p = 0; p < parts; p++) sum += factor[p] * from[static_cast<int64_t>(p) * w.value_dim + d];
    w.y.set(token, head * w.value_dim + d, sum);
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
  if (thread_blocks == 0 || blocks <= 16) return;  // a merge would take longer than 4 steps of every warp
  const int64_t slots = queue.properties.multiprocessors * at_once, limit = std::min<int64_t>(blocks / 4, most_splits);
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
  launch(queue, op, merge_kernel, {dim3(static_cast<unsigned>(work.heads), static_cast<unsigned>(items)), merge_threads, 0, true}, {},
         work);
}

}  // namespace infernum::cuda
