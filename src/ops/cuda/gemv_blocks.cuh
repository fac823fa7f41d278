// Products of few rows with one type of GGUF blocks, read as they are stored: with float activations, and with activations in int8 blocks.
#pragma once
#include "ops/cuda/blocks.cuh"
#include "ops/cuda/products.cuh"

namespace infernum::cuda {

/// Activations rounded to int8, 32 neighbours sharing a scale: x = scale * q. `sum` is scale times the sum of the 32 q.
struct ScaleSum {
  float scale, sum;
};
struct Int8Rows {
  const int8_t* q;         ///< (rows, k)
  const ScaleSum* scales;  ///< (rows, k / 32)
};

constexpr int block_gemv_warps = 4;  // of a thread block, a row of w each

/// The 32 elements that a lane multiplies at once: sub-block s of a row of w.
template <class Block>
__device__ Octet octet_of(const std::byte* row, int s, int i) {
  constexpr int per_block = block_elements<Block> / 32;
  const auto* blocks = reinterpret_cast<const Block*>(row);
  return Unpack<Block>::octet(blocks + s / per_block, s % per_block * 4 + i);
}

template <class Block, int M>
__device__ void store_sums(const Operands& a, const Source& from, int64_t row, float (&sum)[M]) {
#pragma unroll
  for (int j = 0; j < M; j++) {
    const float total = warp_sum(sum[j]);
    if (threadIdx.x % 32 == 0 && j < a.m) store(a, from.y_row + j, row, from.valid ? total : not_a_number());
  }
}

/// Floor: the bytes of w over the memory's bandwidth. A warp owns a row of w, a lane every 32nd run of 32 elements.
/// Grid: (n / warps, pairs); at most M rows of x, F32.
template <class Block, int M>
__global__ void __launch_bounds__(block_gemv_warps * 32) floats_times_blocks(Operands a) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * block_gemv_warps + threadIdx.x / 32;
  if (row >= a.n) return;
  const Source from = source(a, blockIdx.y);
  const std::byte* w = from.w + row * (a.k / block_elements<Block>)*static_cast<int64_t>(sizeof(Block));
  const float* x[M];
#pragma unroll
  for (int j = 0; j < M; j++) x[j] = static_cast<const float*>(a.x) + (from.x_row + min(static_cast<int64_t>(j), a.m - 1)) * a.x_stride;
  float sum[M] = {};
  const int runs = static_cast<int>(a.k / 32);
  for (int s = threadIdx.x % 32; s < runs; s += 32)
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const Octet o = octet_of<Block>(w, s, i);
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
  store_sums<Block>(a, from, row, sum);
}

/// The same with int8 activations: integer dot products of four elements an instruction, exact until the scales come in.
template <class Block, int M>
__global__ void __launch_bounds__(block_gemv_warps * 32) int8_times_blocks(Operands a, Int8Rows x) {
  using U = Unpack<Block>;
  constexpr int octets = (U::span < 32 ? U::span : 32) / 8;  // that share a scale
  const int64_t row = static_cast<int64_t>(blockIdx.x) * block_gemv_warps + threadIdx.x / 32;
  if (row >= a.n) return;
  const Source from = source(a, blockIdx.y);
  const std::byte* w = from.w + row * (a.k / block_elements<Block>)*static_cast<int64_t>(sizeof(Block));
  const int64_t runs = a.k / 32;
  float sum[M] = {};
  for (int s = threadIdx.x % 32; s < runs; s += 32) {
    Octet o[4];
#pragma unroll
    for (int i = 0; i < 4; i++) o[i] = octet_of<Block>(w, s, i);
#pragma unroll
    for (int j = 0; j < M; j++) {
      const int64_t at = (from.x_row + min(static_cast<int64_t>(j), a.m - 1)) * runs + s;
      const ScaleSum in = x.scales[at];
      const auto* words = reinterpret_cast<const int4*>(x.q + 32 * at);
      const int4 low = words[0], high = words[1];
      const int q[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
      float scaled = 0;
#pragma unroll
      for (int i = 0; i < 4; i += octets) {
        int dot = 0, plain = 0;
#pragma unroll
        for (int e = 2 * i; e < 2 * (i + octets); e++) {
          dot = __dp4a(static_cast<int>(o[e / 2].q[e % 2]), q[e], dot);
          if constexpr (U::has_min && octets < 4) plain = __dp4a(q[e], static_cast<int>(in_bytes(1)), plain);
        }
        scaled = fmaf(o[i].scale, static_cast<float>(dot), scaled);
        if constexpr (U::has_min && octets < 4) scaled = fmaf(o[i].min, static_cast<float>(plain), scaled);
      }
      sum[j] = fmaf(in.scale, scaled, sum[j]);
      if constexpr (U::has_min && octets == 4) sum[j] = fmaf(o[0].min, in.sum, sum[j]);
    }
  }
  store_sums<Block>(a, from, row, sum);
}

template <class Block, int M>
void launch_block_gemv(Queue<Cuda>& q, std::string_view op, Operands a, const Int8Rows* x) {
  const int64_t pairs = a.chosen.ids ? a.m : 1;
  if (a.chosen.ids) a.m = 1;
  const Grid grid{dim3(static_cast<unsigned>((a.n + block_gemv_warps - 1) / block_gemv_warps), static_cast<unsigned>(pairs)),
                  block_gemv_warps * 32};
  if (x)
    launch(q, op, int8_times_blocks<Block, M>, grid, {}, a, *x);
  else
    launch(q, op, floats_times_blocks<Block, M>, grid, {}, a);
}

/// x: the activations in int8, or null where they are F32.
template <class Block>
void gemv_of_blocks(Queue<Cuda>& q, std::string_view op, const Operands& a, const Int8Rows* x) {
  if (a.m == 1 || a.chosen.ids) return launch_block_gemv<Block, 1>(q, op, a, x);
  if (a.m == 2) return launch_block_gemv<Block, 2>(q, op, a, x);
  if (a.m <= 4) return launch_block_gemv<Block, 4>(q, op, a, x);
  launch_block_gemv<Block, 8>(q, op, a, x);
}

// One file each, so that they compile beside one another.
void gemv_simple_blocks(Queue<Cuda>& q, std::string_view op, const Operands& a, const Int8Rows* x);  ///< blocks of 32
void gemv_k_blocks(Queue<Cuda>& q, std::string_view op, const Operands& a, const Int8Rows* x);       ///< Q2_K to Q6_K
void gemv_other_blocks(Queue<Cuda>& q, std::string_view op, const Operands& a, const Int8Rows* x);   ///< the rest

}  // namespace infernum::cuda
