// Sorts pairs by the matrix that they chose, on the device, and multiplies them in tiles with floats.
#include "ops/cuda/grouped.cuh"

namespace infernum::cuda {
namespace {

constexpr int sort_threads = 1024;  // at least as many as matrices

/// Of thread i of the block: the sum of `value` over threads 0 .. i.
__device__ int running_sum(int value, int* shared) {
  const int thread = threadIdx.x;
  shared[thread] = value;
  for (int step = 1; step < sort_threads; step *= 2) {
    __syncthreads();
    const int below = thread >= step ? shared[thread - step] : 0;
    __syncthreads();
    shared[thread] += below;
  }
  __syncthreads();
  const int sum = shared[thread];
  __syncthreads();
  return sum;
}

/// Counting sort of the pairs by matrix. The order of the pairs of one matrix is left to chance: no row's sum depends on it. Rows of y
/// whose id names no matrix become NaN. Floor: latency; one block, a pass over ids to count and one to place.
__global__ void __launch_bounds__(sort_threads) sort_pairs(Operands a, int32_t* first, int32_t* first_tile, int32_t* order) {
  __shared__ int shared[sort_threads], counts[sort_threads], next[sort_threads];
  const int thread = threadIdx.x, experts = a.chosen.experts;
  counts[thread] = 0;
  __syncthreads();
  for (int64_t p = thread; p < a.m; p += sort_threads) {
    const int e = a.chosen.expert(p);
    if (a.chosen.valid(e)) atomicAdd(&counts[e], 1);
  }
  __syncthreads();
  const int count = counts[thread], tiles = (count + tile_rows - 1) / tile_rows;
  const int end = running_sum(count, shared), end_tile = running_sum(tiles, shared);
  next[thread] = end - count;
  if (thread < experts) first[thread + 1] = end, first_tile[thread + 1] = end_tile;
  if (thread == 0) first[0] = first_tile[0] = 0;
  __syncthreads();
  for (int64_t p = thread; p < a.m; p += sort_threads) {
    const int e = a.chosen.expert(p);
    if (a.chosen.valid(e))
      order[atomicAdd(&next[e], 1)] = static_cast<int32_t>(p);
    else
      for (int64_t col = 0; col < a.n; col++) store(a, p, col, not_a_number());
  }
}

}  // namespace

void multiply_float_tiles(Queue<Cuda>& q, std::string_view op, const Operands& a, const Groups& g) {
  dispatch_float(a.x_type, [&](auto x_tag) {
    dispatch_float(a.w_type, [&](auto w_tag) {
      using X = typename decltype(x_tag)::type;
      using W = typename decltype(w_tag)::type;
      // Types that differ meet in F32, so that neither loses bits.
      launch_tiles<X, W, std::conditional_t<std::is_same_v<X, W>, X, float>>(q, op, a, g);
    });
  });
}

void grouped_product(Queue<Cuda>& q, std::string_view op, const Operands& a) {
  const int64_t starts = a.chosen.experts + 1;
  const auto memory = q.memory.allocate((2 * starts + a.m) * static_cast<int64_t>(sizeof(int32_t)));
  auto *first = static_cast<int32_t*>(memory.get()), *first_tile = first + starts, *order = first_tile + starts;
  launch(q, op, sort_pairs, {dim3(1), sort_threads}, {}, a, first, first_tile, order);
  const Groups g{first, first_tile, order};
  if (is_float(a.w_type))
    multiply_float_tiles(q, op, a, g);
  else
    multiply_block_tiles(q, op, a, g);
}

}  // namespace infernum::cuda
