// Products of few rows with one type of GGUF blocks, read as they are stored: with activations in int8 blocks, and with F32 ones.
#pragma once
#include <algorithm>

#include "ops/cuda/int8_rows.cuh"
#include "ops/cuda/products.cuh"
#include "ops/cuda/runs.cuh"

namespace infernum::cuda {

constexpr int float_warps = 4;  // of a block of floats_times_blocks, a row of w each

/// Floor: the bytes of w over the memory's bandwidth; meant for exactness. A warp owns a row of w, a lane every 32nd run of 32 elements.
/// Grid: (n / float_warps, pairs); at most M rows of x, F32.
template <class Block, int M>
__global__ void __launch_bounds__(float_warps * 32) floats_times_blocks(Operands a) {
  constexpr int per_block = block_elements<Block> / 32;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * float_warps + threadIdx.x / 32;
  if (row >= a.n) return;
  const Source from = source(a, blockIdx.y);
  const auto* w = reinterpret_cast<const Block*>(from.w) + row * (a.k / block_elements<Block>);
  const float* x[M];
#pragma unroll
  for (int j = 0; j < M; j++) x[j] = static_cast<const float*>(a.x) + (from.x_row + min(static_cast<int64_t>(j), a.m - 1)) * a.x_stride;
  float sum[M] = {};
  const int runs = static_cast<int>(a.k / 32);
  for (int s = threadIdx.x % 32; s < runs; s += 32)
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const Octet o = Unpack<Block>::octet(w + s / per_block, s % per_block * 4 + i);
#pragma unroll
      for (int j = 0; j < M; j++) {
        float dot = 0, plain = 0;
#pragma unroll
        for (int e = 0; e < 8; e++) {
          const float in = x[j][32 * static_cast<int64_t>(s) + 8 * i + e];
          dot = fmaf(byte_to_float(o.q[e / 4], e % 4), in, dot);
          if constexpr (Unpack<Block>::has_min) plain += in;
        }
        sum[j] = fmaf(o.scale, dot, sum[j]);
        if constexpr (Unpack<Block>::has_min) sum[j] = fmaf(o.min, plain, sum[j]);
      }
    }
#pragma unroll
  for (int j = 0; j < M; j++) {
    const float total = warp_sum(sum[j]);
    if (threadIdx.x % 32 == 0 && j < a.m) store(a, from.y_row + j, row, from.valid ? total : not_a_number());
  }
}

// ---- int8 activations ----------------------------------------------------------------------------------------------------------------
/// A chunk is what a warp multiplies at once: 32 runs of a row of w, one a lane. In shared memory it begins at the same byte of 16 as in
/// global memory, so that whole aligned pieces are copied; the words around it may be read.
template <class Block>
constexpr int chunk_bytes = 1024 / block_elements<Block>* static_cast<int>(sizeof(Block));
template <class Block>
constexpr int chunk_room = (chunk_bytes<Block> + 15) / 16 * 16 + 32;

constexpr int most_warps = 16;

/// Chunks of R rows under way to a warp: about 5 KiB, of which 16 warps keep the memory busy.
template <class Block, int R>
constexpr int stages = std::clamp(5120 / (R * chunk_room<Block>), 3, 8);

__device__ inline void copy_16(void* shared, const void* global) {
  const auto at = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(at), "l"(global) : "memory");
}

/// The position of a warp in its list of tasks: R rows of w for a pair, chunk by chunk. Every `stride`-th task is its own.
struct Task {
  int64_t index, groups;
  int chunk = 0;
  Source from;
  int64_t row = 0;

  __device__ Task(const Operands& a, int64_t first, int64_t all_groups, int rows) : index(first), groups(all_groups) { find(a, rows); }
  __device__ void find(const Operands& a, int rows) {
    row = index % groups * rows;
    from = source(a, index / groups);
  }
  __device__ void advance(const Operands& a, int chunks, int64_t stride, int64_t tasks, int rows) {
    if (++chunk < chunks) return;
    chunk = 0, index += stride;
    if (index < tasks) find(a, rows);
  }
};

/// Sends the chunks of R rows on their way to `room`, R * chunk_room bytes.
template <class Block, int R>
__device__ void fetch(const Operands& a, const Task& t, int64_t row_bytes, unsigned char* room) {
  const int64_t begin = static_cast<int64_t>(t.chunk) * chunk_bytes<Block>, bytes = min(row_bytes - begin, int64_t{chunk_bytes<Block>});
#pragma unroll
  for (int r = 0; r < R; r++) {
    const std::byte* from = t.from.w + min(t.row + r, a.n - 1) * row_bytes + begin;
    const int head = static_cast<int>(reinterpret_cast<uintptr_t>(from) & 15), pieces = (head + static_cast<int>(bytes) + 15) / 16;
    for (int p = threadIdx.x % 32; p < pieces; p += 32) copy_16(room + r * chunk_room<Block> + 16 * p, from - head + 16 * p);
  }
}

template <class Block, int R>
__device__ Run<Runs<Block>::scales> run_in_chunk(const Operands& a, const Task& t, int r, int64_t row_bytes, const unsigned char* room) {
  constexpr int per_block = block_elements<Block> / 32;
  const std::byte* from = t.from.w + min(t.row + r, a.n - 1) * row_bytes + static_cast<int64_t>(t.chunk) * chunk_bytes<Block>;
  const auto* blocks = room + r * chunk_room<Block> + (reinterpret_cast<uintptr_t>(from) & 15);
  const int lane = threadIdx.x % 32;
  return Runs<Block>::get(reinterpret_cast<const Block*>(blocks) + lane / per_block, lane % per_block);
}

/// The product of a run of w and one of x.
template <class Block>
__device__ float product(const Run<Runs<Block>::scales>& w, const int (&x)[8], ScaleSum in) {
  constexpr int scales = Runs<Block>::scales, words = 8 / scales;
  float scaled = 0;
#pragma unroll
  for (int i = 0; i < scales; i++) {
    int dot = 0, plain = 0;
#pragma unroll
    for (int e = i * words; e < (i + 1) * words; e++) {
      dot = __dp4a(static_cast<int>(w.q[e]), x[e], dot);
      if constexpr (Runs<Block>::has_min && scales > 1) plain = __dp4a(x[e], static_cast<int>(in_bytes(1)), plain);
    }
    scaled = fmaf(w.scale[i], static_cast<float>(dot), scaled);
    if constexpr (Runs<Block>::has_min && scales > 1) scaled = fmaf(w.min[i], static_cast<float>(plain), scaled);
  }
  scaled *= in.scale;
  if constexpr (Runs<Block>::has_min && scales == 1) scaled = fmaf(w.min[0], in.sum, scaled);
  return scaled;
}

/// Floor: the bytes of w over the memory's bandwidth. One thread block a multiprocessor, whose warps each walk through tasks of R rows of
/// w and keep `stages` chunks under way to shared memory. X: type of the activations that the block itself rounds to int8 (x_rows rows,
/// into shared memory) while the first chunks are under way; void: they are rounded already, at `given`.
template <class Block, class X, int M, int R>
__global__ void __launch_bounds__(most_warps * 32, 1) int8_times_blocks(Operands a, Int8Rows given, int64_t x_rows, int64_t tasks) {
  extern __shared__ __align__(16) unsigned char shared[];
  constexpr int depth = stages<Block, R>, room = R * chunk_room<Block>;
  constexpr bool rounds_itself = !std::is_void_v<X>;
  const int lane = threadIdx.x % 32, warps = blockDim.x / 32;
  const int64_t runs = a.k / 32, row_bytes = a.k / block_elements<Block> * static_cast<int64_t>(sizeof(Block));
  const int chunks = static_cast<int>((runs + 31) / 32);
  const int64_t groups = (a.n + R - 1) / R, stride = static_cast<int64_t>(gridDim.x) * warps;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * warps + threadIdx.x / 32;
  unsigned char* rooms = shared + threadIdx.x / 32 * (depth * room);
  Task ahead(a, min(first, tasks - 1), groups, R), now = ahead;
  ahead.index = now.index = first;
  for (int s = 0; s < depth - 1; s++) {
    if (ahead.index < tasks) {
      fetch<Block, R>(a, ahead, row_bytes, rooms + s * room);
      ahead.advance(a, chunks, stride, tasks, R);
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
  }
  Int8Rows x = given;
  if constexpr (rounds_itself) {
    x = Int8Rows::at(shared + warps * (depth * room), x_rows * runs);
    for (int64_t i = threadIdx.x; i < x_rows * a.k / 8; i += blockDim.x) round_octet(static_cast<const X*>(a.x), a.x_stride, a.k, i, x);
    __syncthreads();
  }
  float sum[R][M] = {};
  for (int stage = 0; tasks > now.index; stage = (stage + 1) % depth) {
    if (ahead.index < tasks) {
      fetch<Block, R>(a, ahead, row_bytes, rooms + (stage + depth - 1) % depth * room);
      ahead.advance(a, chunks, stride, tasks, R);
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
    asm volatile("cp.async.wait_group %0;" ::"n"(depth - 1) : "memory");
    __syncwarp();
    const int64_t run = static_cast<int64_t>(now.chunk) * 32 + lane;
    if (run < runs) {
      Run<Runs<Block>::scales> w[R];
#pragma unroll
      for (int r = 0; r < R; r++) w[r] = run_in_chunk<Block, R>(a, now, r, row_bytes, rooms + stage * room);
#pragma unroll
      for (int j = 0; j < M; j++) {
        const int64_t at = (now.from.x_row + min(static_cast<int64_t>(j), a.m - 1)) * runs + run;
        const int4 low = x.first[at], high = x.last[at];
        const int q[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
        const ScaleSum in = x.scales[at];
#pragma unroll
        for (int r = 0; r < R; r++) sum[r][j] += product<Block>(w[r], q, in);
      }
    }
    __syncwarp();  // the room is free for the next chunk
    if (now.chunk + 1 == chunks)
#pragma unroll
      for (int r = 0; r < R; r++)
#pragma unroll
        for (int j = 0; j < M; j++) {
          const float total = warp_sum(sum[r][j]);
          if (lane == 0 && j < a.m && now.row + r < a.n) store(a, now.from.y_row + j, now.row + r, now.from.valid ? total : not_a_number());
          sum[r][j] = 0;
        }
    now.advance(a, chunks, stride, tasks, R);
  }
}

// ---- launches ------------------------------------------------------------------------------------------------------------------------
/// Activations for the int8 kernels: rounded already, or to be rounded by each block.
struct Activations {
  Int8Rows given;
  int64_t rows;  ///< of x
  bool rounded;
};

/// As many warps a block as shared memory has room for; as few tasks a warp more than others as can be.
template <class Block, class X, int M, int R>
void launch_int8(Queue<Cuda>& q, std::string_view op, Operands a, const Activations& x) {
  const int64_t pairs = a.chosen.ids ? a.m : 1, tasks = (a.n + R - 1) / R * pairs;
  if (a.chosen.ids) a.m = 1;
  const int64_t per_warp = stages<Block, R> * R * chunk_room<Block>, rounded = x.rounded ? 0 : x.rows * (a.k / 32) * Int8Rows::bytes_of_run;
  int warps = most_warps;
  while (warps > 1 && warps * per_warp + rounded > q.properties.shared_bytes_per_block) warps--;
  const int64_t most = static_cast<int64_t>(warps) * q.properties.multiprocessors, turns = (tasks + most - 1) / most;
  const int64_t used = (tasks + turns - 1) / turns, blocks = std::min<int64_t>((used + warps - 1) / warps, q.properties.multiprocessors);
  launch(q, op, int8_times_blocks<Block, X, M, R>,
         {dim3(static_cast<unsigned>(blocks)), static_cast<unsigned>(warps * 32), static_cast<size_t>(warps * per_warp + rounded)}, {}, a,
         x.given, x.rows, tasks);
}

template <class Block, int M>
void launch_floats(Queue<Cuda>& q, std::string_view op, Operands a) {
  const int64_t pairs = a.chosen.ids ? a.m : 1;
  if (a.chosen.ids) a.m = 1;
  const dim3 grid(static_cast<unsigned>((a.n + float_warps - 1) / float_warps), static_cast<unsigned>(pairs));
  launch(q, op, floats_times_blocks<Block, M>, {grid, float_warps * 32}, {}, a);
}

/// x: for 16-bit activations; F32 ones are multiplied as they are.
template <class Block>
void gemv_of_blocks(Queue<Cuda>& q, std::string_view op, const Operands& a, const Activations& x) {
  const int64_t m = a.chosen.ids ? 1 : a.m;
  if (a.x_type == DType::F32) return m == 1 ? launch_floats<Block, 1>(q, op, a) : launch_floats<Block, 8>(q, op, a);
  if (!x.rounded) {
    if (m == 1 && a.x_type == DType::BF16) return launch_int8<Block, __nv_bfloat16, 1, 2>(q, op, a, x);
    if (m == 1) return launch_int8<Block, __half, 1, 2>(q, op, a, x);
    fail("matmul: activations of several rows are rounded beforehand", m);
  }
  if (m == 1) return launch_int8<Block, void, 1, 2>(q, op, a, x);
  if (m == 2) return launch_int8<Block, void, 2, 2>(q, op, a, x);
  if (m <= 4) return launch_int8<Block, void, 4, 4>(q, op, a, x);
  launch_int8<Block, void, 8, 4>(q, op, a, x);
}

// One file each, so that they compile beside one another.
void gemv_simple_blocks(Queue<Cuda>& q, std::string_view op, const Operands& a, const Activations& x);  ///< blocks of 32
void gemv_k_blocks(Queue<Cuda>& q, std::string_view op, const Operands& a, const Activations& x);       ///< Q2_K to Q6_K
void gemv_other_blocks(Queue<Cuda>& q, std::string_view op, const Operands& a, const Activations& x);   ///< the rest

}  // namespace infernum::cuda
