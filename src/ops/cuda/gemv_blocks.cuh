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

constexpr int fewest_warps = 4, most_warps = 16;

/// Chunks of R rows under way to a warp: about 5 KiB, of which 16 warps keep the memory busy.
template <class Block, int R>
constexpr int stages = std::clamp(5120 / (R * chunk_room<Block>), 3, 8);

__device__ inline void copy_16(unsigned shared, const void* global) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(shared), "l"(global) : "memory");
}

/// The way of a warp through its tasks, every `stride`-th: R rows of w for a pair, chunk by chunk.
template <class Block, int R>
struct Walk {
  int task, left;  ///< left: bytes of the rows from this chunk on
  Source from;
  int row;
  const std::byte* w[R];  ///< the chunk, of each row

  /// Operands and what follows from them.
  struct Plan {
    const Operands& a;
    int tasks, groups, stride, row_bytes;
  };

  __device__ Walk(const Plan& p, int first) : task(first) { find(p); }
  __device__ bool ended(const Plan& p) const { return task >= p.tasks; }
  __device__ void find(const Plan& p) {
    if (ended(p)) return;
    row = (p.a.chosen.ids ? task % p.groups : task) * R;
    from = source(p.a, p.a.chosen.ids ? task / p.groups : 0);
    left = p.row_bytes;
#pragma unroll
    for (int r = 0; r < R; r++) w[r] = from.w + min(static_cast<int64_t>(row + r), p.a.n - 1) * p.row_bytes;
  }
  /// Whether this is the last chunk of its task.
  __device__ bool at_end() const { return left <= chunk_bytes<Block>; }
  __device__ void advance(const Plan& p) {
    if (at_end()) {
      task += p.stride;
      return find(p);
    }
    left -= chunk_bytes<Block>;
#pragma unroll
    for (int r = 0; r < R; r++) w[r] += chunk_bytes<Block>;
  }

  __device__ static unsigned head(const std::byte* p) { return static_cast<unsigned>(reinterpret_cast<uintptr_t>(p)) & 15; }

  /// Sends the chunk of each row on its way to `room`, R * chunk_room bytes of shared memory.
  __device__ void fetch(unsigned room) const {
    constexpr int most = (chunk_bytes<Block> + 15 + 15) / 16;
    const unsigned lane = threadIdx.x % 32, bytes = min(left, chunk_bytes<Block>);
#pragma unroll
    for (int r = 0; r < R; r++) {
      const unsigned pieces = (head(w[r]) + bytes + 15) / 16;
      const std::byte* source = w[r] - head(w[r]) + 16 * lane;
      const unsigned target = room + r * chunk_room<Block> + 16 * lane;
#pragma unroll
      for (int i = 0; i < (most + 31) / 32; i++)
        if (lane + 32 * i < pieces) copy_16(target + 512 * i, source + 512 * i);
    }
  }
  /// The lane's run of row r, which lies in `room`.
  __device__ Run<Runs<Block>::scales> run(int r, const unsigned char* room) const {
    constexpr int per_block = block_elements<Block> / 32;
    const int lane = threadIdx.x % 32;
    const auto* blocks = room + r * chunk_room<Block> + head(w[r]);
    return Runs<Block>::get(reinterpret_cast<const Block*>(blocks) + lane / per_block, lane % per_block);
  }
};

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

/// Whether registers are held to what leaves room for a block of the next product, whose weights can then set out early.
template <class Block, int M>
constexpr bool room_for_successor = M == 1 && Runs<Block>::scales == 1;

/// Floor: the bytes of w over the memory's bandwidth. One thread block a multiprocessor, whose warps each walk through tasks of R rows of
/// w and keep `stages` chunks under way to shared memory. X: type of the activations that the block itself rounds to int8 (x_rows rows,
/// into shared memory) while the first chunks are under way; void: they are rounded already, at `given`.
template <class Block, class X, int M, int R>
__global__ void __launch_bounds__(most_warps * 32, room_for_successor<Block, M> ? 2 : 1)
    int8_times_blocks(Operands a, Int8Rows given, int64_t x_rows, int tasks) {
  extern __shared__ __align__(16) unsigned char shared[];
  constexpr int depth = stages<Block, R>, room = R * chunk_room<Block>, per_block = block_elements<Block>;
  constexpr bool rounds_itself = !std::is_void_v<X>;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32, runs = static_cast<int>(a.k / 32);
  unsigned char* rooms = shared + warp * (depth * room);
  const auto rooms_at = static_cast<unsigned>(__cvta_generic_to_shared(rooms));
  using Way = Walk<Block, R>;
  const typename Way::Plan plan{a, tasks, static_cast<int>((a.n + R - 1) / R), static_cast<int>(gridDim.x) * warps,
                                static_cast<int>(a.k / per_block) * static_cast<int>(sizeof(Block))};
  let_successor_begin();
  if (a.chosen.ids) wait_for_predecessor();  // it may have chosen
  Way now(plan, static_cast<int>(blockIdx.x) * warps + warp), ahead = now;
  const auto fetch_next = [&](int stage) {
    if (!ahead.ended(plan)) {
      ahead.fetch(rooms_at + stage * room);
      ahead.advance(plan);
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
  };
  for (int s = 0; s < depth - 1; s++) fetch_next(s);
  if (!a.chosen.ids) wait_for_predecessor();
  Int8Rows x = given;
  if constexpr (rounds_itself) {
    x = Int8Rows::at(shared + warps * (depth * room), x_rows * runs);
    for (int64_t i = threadIdx.x; i < x_rows * a.k / 8; i += blockDim.x) round_octet(static_cast<const X*>(a.x), a.x_stride, a.k, i, x);
    __syncthreads();
  }
  float sum[R][M] = {};
  int stage = 0, free = depth - 1, run = lane;  // run: the lane's in its row
  while (!now.ended(plan)) {
    fetch_next(free);
    free = stage;
    asm volatile("cp.async.wait_group %0;" ::"n"(depth - 1) : "memory");
    __syncwarp();
    if (run < runs) {
      Run<Runs<Block>::scales> w[R];
#pragma unroll
      for (int r = 0; r < R; r++) w[r] = now.run(r, rooms + stage * room);
#pragma unroll
      for (int j = 0; j < M; j++) {
        const int64_t at = (now.from.x_row + (M > 1 ? min(j, static_cast<int>(a.m) - 1) : 0)) * runs + run;
        const int4 low = x.first[at], high = x.last[at];
        const int q[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
        const ScaleSum in = x.scales[at];
#pragma unroll
        for (int r = 0; r < R; r++) sum[r][j] += product<Block>(w[r], q, in);
      }
    }
    __syncwarp();  // the room is free for the next chunk
    stage = stage + 1 == depth ? 0 : stage + 1;
    run += 32;
    if (now.at_end()) {
      run = lane;
#pragma unroll
      for (int r = 0; r < R; r++)
#pragma unroll
        for (int j = 0; j < M; j++) {
          const float total = warp_sum(sum[r][j]);
          if (lane == 0 && j < a.m && now.row + r < a.n) store(a, now.from.y_row + j, now.row + r, now.from.valid ? total : not_a_number());
          sum[r][j] = 0;
        }
    }
    now.advance(plan);
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
  check(tasks < (int64_t{1} << 30) && a.k < (int64_t{1} << 29), "matmul: too large for the kernel of blocks", a.n, pairs, a.k);
  if (a.chosen.ids) a.m = 1;
  const int64_t per_warp = stages<Block, R> * R * chunk_room<Block>, rounded = x.rounded ? 0 : x.rows * (a.k / 32) * Int8Rows::bytes_of_run;
  // Spread over all multiprocessors before any gets many warps; a few more than have tasks help to round.
  const int64_t processors = q.properties.multiprocessors;
  int warps = static_cast<int>(std::clamp<int64_t>((tasks + processors - 1) / processors, fewest_warps, most_warps));
  while (warps > 1 && warps * per_warp + rounded > q.properties.shared_bytes_per_block) warps--;
  const int64_t most = warps * processors, turns = (tasks + most - 1) / most, used = (tasks + turns - 1) / turns;
  const int64_t blocks = std::min((used + warps - 1) / warps, processors);
  // As in gemv.cu; with Q4_K early products made a step of 1B 6 % shorter and those of 4B and 8B 20 % longer.
  constexpr int64_t most_early_elements = int64_t{20} << 20;
  const bool early = a.n * a.k <= most_early_elements;
  launch(q, op, int8_times_blocks<Block, X, M, R>,
         {dim3(static_cast<unsigned>(blocks)), static_cast<unsigned>(warps * 32), static_cast<size_t>(warps * per_warp + rounded), early},
         {}, a, x.given, x.rows, static_cast<int>(tasks));
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
    // Single rows where there are few, so that more warps have tasks.
    const bool few = a.n * (a.chosen.ids ? a.m : 1) < int64_t{16} * q.properties.multiprocessors;
    if (m == 1 && a.x_type == DType::BF16)
      return few ? launch_int8<Block, __nv_bfloat16, 1, 1>(q, op, a, x) : launch_int8<Block, __nv_bfloat16, 1, 2>(q, op, a, x);
    if (m == 1) return few ? launch_int8<Block, __half, 1, 1>(q, op, a, x) : launch_int8<Block, __half, 1, 2>(q, op, a, x);
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
