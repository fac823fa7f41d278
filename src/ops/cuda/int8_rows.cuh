// Activations rounded to int8, 32 neighbours sharing a scale: what integer products with GGUF blocks read.
#pragma once
#include "backends/cuda/device.cuh"

namespace infernum::cuda {

/// x = scale * q; `sum` is scale times the sum of the 32 q.
struct ScaleSum {
  float scale, sum;
};

/// (rows, k / 32) runs of 32, in three planes: the first and the last 16 elements of every run, and what belongs to it, so that
/// neighbouring lanes read neighbouring 16 bytes.
struct Int8Rows {
  int4 *first, *last;
  ScaleSum* scales;

  static constexpr int bytes_of_run = 2 * sizeof(int4) + sizeof(ScaleSum);
  /// `memory`, 16-byte aligned, has room for bytes_of_run * runs.
  static __host__ __device__ Int8Rows at(void* memory, int64_t runs) {
    auto* first = static_cast<int4*>(memory);
    return {first, first + runs, reinterpret_cast<ScaleSum*>(first + 2 * runs)};
  }
};

/// Elements 8 i .. 8 i + 7 of `rows` rows of x, put end to end, to int8. Groups of four neighbouring threads call it for the octets of a
/// run. A run with an element that is not finite gets the scale NaN, so that it shows in every sum.
template <class X>
__device__ void round_octet(const X* x, int64_t stride, int64_t k, int64_t i, const Int8Rows& out) {
  const int64_t per_row = k / 8;
  const X* in = x + i / per_row * stride + i % per_row * 8;
  const unsigned group = 0xfu << (threadIdx.x % 32 / 4 * 4);
  float values[8], largest = 0;
  bool finite = true;
#pragma unroll
  for (int e = 0; e < 8; e++) {
    values[e] = to_float(in[e]);
    const float size = fabsf(values[e]);
    finite = finite && size <= 3.402823466e38f;
    largest = fmaxf(largest, size);
  }
  if (!finite) largest = __int_as_float(0x7f800000);
#pragma unroll
  for (int step = 1; step < 4; step *= 2) largest = fmaxf(largest, __shfl_xor_sync(group, largest, step));
  const bool usable = largest <= 3.402823466e38f;
  // Below this the inverse is no longer finite; such values vanish beside any others.
  const float inverse = usable && largest >= 2e-36f ? 127 / largest : 0;
  uint32_t words[2] = {0, 0};
  int sum = 0;
#pragma unroll
  for (int e = 0; e < 8; e++) {
    const int rounded = usable ? __float2int_rn(values[e] * inverse) : 0;
    words[e / 4] |= (static_cast<uint32_t>(rounded) & 255) << e % 4 * 8;
    sum += rounded;
  }
#pragma unroll
  for (int step = 1; step < 4; step *= 2) sum += __shfl_xor_sync(group, sum, step);
  const int64_t run = i / 4;
  int4* half = (i % 4 < 2 ? out.first : out.last) + run;
  reinterpret_cast<uint2*>(half)[i % 2] = make_uint2(words[0], words[1]);
  const float scale = usable ? largest / 127 : __int_as_float(0x7fc00000);
  if (i % 4 == 0) out.scales[run] = {scale, scale * static_cast<float>(sum)};
}

}  // namespace infernum::cuda
