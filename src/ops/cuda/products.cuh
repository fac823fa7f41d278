// What the kernels of matrix products share: their operands, plain or picked by expert ids, and the fronts that cuda/*.cu offer each other.
#pragma once
#include <limits>

#include "backends/cuda/device.cuh"
#include "backends/cuda/launch.cuh"

namespace infernum::cuda {

/// Matrix ids[t * stride + s] for pair p = t * slots + s, `step` bytes apart; pair p reads row p / share of x and writes row p of y.
struct Chosen {
  const int32_t* ids = nullptr;  ///< null: one matrix for all rows
  int64_t stride = 0, step = 0;
  int slots = 1, share = 1, experts = 1;

  __device__ int expert(int64_t pair) const { return ids[pair / slots * stride + pair % slots]; }
  __device__ bool valid(int e) const { return e >= 0 && e < experts; }
};

/// y (m, n) = x (m, k) * w (n, k)^T. Strides in elements. With `chosen`, m counts pairs.
struct Operands {
  void* y;
  const void* x;
  const void* w;
  int64_t y_stride, x_stride, w_stride;
  int64_t m, n, k;
  DType y_type, x_type, w_type;
  Chosen chosen;
};

inline Operands operands(const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w) {
  return {y.data, x.data, w.data, y.stride, x.stride, w.stride, y.rows(), y.cols(), x.cols(), y.dtype, x.dtype, w.dtype, {}};
}

__device__ inline void store(const Operands& a, int64_t row, int64_t col, float value) {
  const int64_t at = row * a.y_stride + col;
  if (a.y_type == DType::F32)
    static_cast<float*>(a.y)[at] = value;
  else if (a.y_type == DType::F16)
    static_cast<__half*>(a.y)[at] = __float2half_rn(value);
  else
    static_cast<__nv_bfloat16*>(a.y)[at] = __float2bfloat16_rn(value);
}

/// Where a block that serves pair `pair` (0 where nothing is chosen) finds its matrix and rows. An id that names no matrix gives NaN.
struct Source {
  const std::byte* w;
  int64_t x_row, y_row;
  bool valid;
};
__device__ inline Source source(const Operands& a, int64_t pair) {
  const auto* w = static_cast<const std::byte*>(a.w);
  if (!a.chosen.ids) return {w, 0, 0, true};
  const int e = a.chosen.expert(pair);
  const bool valid = a.chosen.valid(e);
  return {w + (valid ? e : 0) * a.chosen.step, pair / a.chosen.share, pair, valid};
}

__device__ inline float not_a_number() { return __int_as_float(0x7fc00000); }

/// 16 bytes that are read once: they pass the L1 cache by, which keeps the activations.
__device__ inline uint4 load_streaming(const void* p) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
  return v;
}

inline bool divides(int64_t by, const void* p) { return reinterpret_cast<uintptr_t>(p) % static_cast<uintptr_t>(by) == 0; }

/// Most rows of x that the GEMV kernels take.
constexpr int gemv_rows = 8;

/// Float weights; made for m <= gemv_rows, right for any. Up to 65535 pairs with `chosen`.
void gemv(Queue<Cuda>& q, std::string_view op, const Operands& a);

/// The same for GGUF blocks. F32 x: exact but for f32 sums; 16-bit x is rounded to int8 blocks.
void gemv_blocks(Queue<Cuda>& q, std::string_view op, const Operands& a);

/// Writes `in`, floats or packed rows of blocks, to `out`, floats.
void convert_rows(Queue<Cuda>& q, std::string_view op, const View<Cuda>& in, const View<Cuda>& out);

/// What every matrix product demands of its operands; w is packed.
void check_product(std::string_view op, const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w);

/// Products of pairs in any number: sorted by matrix on the device, then multiplied tile by tile. With `chosen`.
void grouped_product(Queue<Cuda>& q, std::string_view op, const Operands& a);

}  // namespace infernum::cuda
