// The inner products in plain C++, written for the compiler to vectorise, and the choice among the levels.
#include "ops/cpu/gemm.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/half.h"
#include "ops/cpu/pack.h"

namespace infernum {
namespace {

template <class T>
T load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

constexpr int lanes = 16;

/// Sixteen partial sums per output in the order of gemm.h: that of a vector unit, and more precise than one running sum.
template <class W>
void dense(const DenseCall& call) {
  constexpr int64_t tile = 4, chunk = lanes * chunk_vectors;  // `tile` tokens share one widened piece of a weight row
  for (int64_t t0 = 0; t0 < call.m; t0 += tile) {
    const int64_t tokens = std::min(tile, call.m - t0);
    const std::byte* x[tile];
    for (int64_t t = 0; t < tokens; t++) x[t] = call.x + call.x_rows[t0 + t] * call.x_stride;
    for (int64_t j = 0; j < call.n; j++) {
      const std::byte* w = call.w + j * call.w_stride;
      for (int64_t t = 0; t < tokens && !call.accumulate; t++) call.c[call.c_rows[t0 + t] * call.c_stride + j] = 0;
      for (int64_t k0 = 0; k0 < call.k; k0 += chunk) {
        float sum[tile][lanes] = {}, wide[lanes], xs[lanes];
        for (int64_t i = k0; i < std::min(call.k, k0 + chunk); i += lanes) {
          const int64_t width = std::min<int64_t>(lanes, call.k - i);
          if (width < lanes) std::fill_n(wide, lanes, 0.f), std::fill_n(xs, lanes, 0.f);
          for (int64_t l = 0; l < width; l++) wide[l] = static_cast<float>(load<W>(w + (i + l) * static_cast<int64_t>(sizeof(W))));
          for (int64_t t = 0; t < tokens; t++) {
            std::memcpy(xs, x[t] + 4 * i, static_cast<size_t>(4 * width));
            for (int l = 0; l < lanes; l++) sum[t][l] += wide[l] * xs[l];
          }
        }
        for (int64_t t = 0; t < tokens; t++) {
          for (int half = lanes / 2; half > 0; half /= 2)
            for (int l = 0; l < half; l++) sum[t][l] += sum[t][l + half];
          call.c[call.c_rows[t0 + t] * call.c_stride + j] += sum[t][0];
        }
      }
    }
  }
}

/// Divisions, not products with a rounded reciprocal: q and scale are the same at every level.
void quantize_row(const float* x, const QuantizedRows& out, int64_t row, StripForm form) {
  const int64_t blocks = out.k / activation_block;
  ActivationBlock* to = out.row(row);
  for (int64_t b = 0; b < blocks; b++, x += activation_block, to++) {
    float largest = 0;
    bool finite = true;
    for (int64_t i = 0; i < activation_block; i++) {
      largest = std::max(largest, std::fabs(x[i]));
      finite = finite && std::fabs(x[i]) <= std::numeric_limits<float>::max();
    }
    // Below 2e-36 the scale would be subnormal and its inverse infinite.
    const float inverse = finite && largest >= 2e-36f ? 127 / largest : 0;
    const float scale = !finite ? std::numeric_limits<float>::quiet_NaN() : inverse != 0 ? largest / 127 : 0;
    int32_t sums[2] = {};
    for (int64_t i = 0; i < activation_block; i++) {
      to->q[i] = inverse != 0 ? static_cast<int8_t>(std::lrintf(x[i] * inverse)) : int8_t{0};
      sums[i / 16] += to->q[i];
    }
    finish_block(*to, scale, sums[0], sums[1], form);
  }
}

void widen_halves(const std::byte* from, float* to) {
  for (int r = 0; r < group_rows; r++) to[r] = static_cast<float>(load<F16>(from + 2 * r));
}

/// Half of 2^(e - 127), as the codes are doubled; below the normal floats it is zero, 255 is NaN.
float mxfp4_scale(std::byte e) {
  const auto exponent = std::to_integer<uint32_t>(e);
  return exponent == 255 ? std::numeric_limits<float>::quiet_NaN() : exponent < 2 ? 0 : std::bit_cast<float>((exponent - 1) << 23);
}

void unpack_small(const UnpackCall& call) {
  const SmallBlocks form = small_blocks(call.type);
  const int64_t blocks = call.k / 32;
  const uint8_t* codes = call.type == DType::IQ4_NL_R16 ? iq4_nl_codes : call.type == DType::MXFP4_R16 ? mxfp4_codes : nullptr;
  uint8_t* q = call.strip.q;
  float *scale = call.strip.scale, *min = call.strip.min;
  for (int64_t b = call.k0 / 32; b < call.k1 / 32; b++, q += 512, scale += group_rows, min += group_rows) {
    const int64_t first = b / form.tile_blocks * form.tile_blocks, i = b - first,
                  count = std::min<int64_t>(form.tile_blocks, blocks - first);
    const std::byte *tile = call.packed + first * form.block_bytes(), *scales = tile + i * form.scale_bytes;
    const std::byte* body = tile + count * form.scale_bytes + i * form.body_bytes();
    if (call.type == DType::MXFP4_R16)
      std::transform(scales, scales + group_rows, scale, mxfp4_scale);
    else
      widen_halves(scales, scale);
    if (form.scale_bytes == 64) {
      widen_halves(scales + 32, min);
      for (int r = 0; r < group_rows; r++) min[r] = -min[r];
    }
    const auto* v = reinterpret_cast<const uint8_t*>(body + form.high_bytes);
    if (form.vectors == 8) {
      std::memcpy(q, v, 512);
      continue;
    }
    for (int n = 0; n < 256; n++) {
      q[n] = v[n] & 15;
      q[256 + n] = v[n] >> 4;
    }
    for (int n = 0; codes && n < 512; n++) q[n] = codes[q[n]];
    for (int n = 0; form.high_bytes && n < 512; n++)
      q[n] = static_cast<uint8_t>(q[n] | (load<uint64_t>(body + n / 64 * 8) >> n % 64 & 1) << 4);
  }
}

void unpack_q45_k(const UnpackCall& call, bool high) {
  const int64_t tile_bytes = high ? 2880 : 2368;
  uint8_t* q = call.strip.q;
  float *scale = call.strip.scale, *min = call.strip.min;
  for (int64_t b = call.k0 / 256; b < call.k1 / 256; b++) {
    const std::byte* tile = call.packed + b * tile_bytes;
    float d[group_rows], dmin[group_rows];
    widen_halves(tile, d);
    widen_halves(tile + 32, dmin);
    const auto* sc = reinterpret_cast<const uint8_t*>(tile + 64);
    const auto* qh = reinterpret_cast<const uint8_t*>(tile + 320);
    const auto* qs = reinterpret_cast<const uint8_t*>(tile + (high ? 832 : 320));
    for (int s = 0; s < 8; s++, q += 512, scale += group_rows, min += group_rows) {
      for (int r = 0; r < group_rows; r++) {
        scale[r] = d[r] * sc[group_rows * s + r];
        min[r] = dmin[r] * sc[128 + group_rows * s + r];
      }
      const uint8_t* v = qs + 512 * (s / 2);
      const int shift = 4 * (s % 2);
      for (int i = 0; i < 512; i++) q[i] = static_cast<uint8_t>(v[i] >> shift & 15);
      if (high)
        for (int i = 0; i < 512; i++) q[i] = static_cast<uint8_t>(q[i] | (qh[i] >> s & 1) << 4);
    }
  }
}

void unpack_q6_k(const UnpackCall& call) {
  uint8_t* q = call.strip.q;
  float* scale = call.strip.scale;
  for (int64_t b = call.k0 / 256; b < call.k1 / 256; b++) {
    const std::byte* tile = call.packed + b * 3392;
    float d[group_rows];
    widen_halves(tile, d);
    const auto* sc = reinterpret_cast<const int8_t*>(tile + 64);
    const auto* quants = reinterpret_cast<const uint8_t*>(tile + 320);
    for (int s = 0; s < 16; s++, scale += group_rows)
      for (int r = 0; r < group_rows; r++) scale[r] = d[r] * static_cast<float>(sc[group_rows * s + r]);
    for (int s = 0; s < 8; s++, q += 512) {  // sub-block of 32 values: half n, part j of it
      const int n = s / 4, j = s % 4;
      const uint8_t *high = quants + 1536 * n, *low = high + 512 + 512 * (j & 1);
      for (int i = 0; i < 512; i++) q[i] = static_cast<uint8_t>((low[i] >> 4 * (j >> 1) & 15) | (high[i] >> 2 * j & 3) << 4);
    }
  }
}

void unpack(const UnpackCall& call) {
  switch (call.type) {
    case DType::Q4_K_R16: return unpack_q45_k(call, false);
    case DType::Q5_K_R16: return unpack_q45_k(call, true);
    case DType::Q6_K_R16: return unpack_q6_k(call);
    default: return unpack_small(call);
  }
}

/// Row sums of 4 `steps` weights times activations, by row.
void dot_lanes(const uint8_t* q, const int8_t* x, int steps, int32_t* sum) {
  for (int j = 0; j < steps; j++)
    for (int r = 0; r < group_rows; r++)
      for (int i = 0; i < 4; i++) sum[r] += q[64 * j + 4 * r + i] * x[4 * j + i];
}

void strip_row(const StripCall& call, const Strip& strip, int64_t x_row, float* c) {
  const ActivationBlock* x = call.x.row(x_row) + call.block0;
  const int parts = call.form.fine ? 2 : 1, steps = 8 / parts;
  float acc[group_rows] = {};
  for (int64_t b = 0; b < call.blocks; b++) {
    for (int p = 0; p < parts; p++) {
      int32_t sum[group_rows] = {};
      dot_lanes(strip.q + 512 * b + 64 * steps * p, x[b].q + 4 * steps * p, steps, sum);
      const float* scale = strip.scale + (b * parts + p) * group_rows;
      for (int r = 0; r < group_rows; r++) acc[r] += static_cast<float>(sum[r] + x[b].bias[p]) * (scale[r] * x[b].scale);
    }
    if (call.form.has_min)
      for (int r = 0; r < group_rows; r++) acc[r] -= strip.min[b * group_rows + r] * x[b].sum;
  }
  for (int r = 0; r < group_rows; r++) c[r] = call.accumulate ? c[r] + acc[r] : acc[r];
}

void strip(const StripCall& call) {
  for (int64_t t = 0; t < call.m; t++)
    for (int g = 0; g < call.groups; g++)
      strip_row(call, call.strips[g], call.x_rows[t], call.c + call.c_rows[t] * call.c_stride + group_rows * g);
}

}  // namespace

const GemmKernels gemm_portable{dense<float>, dense<F16>, dense<BF16>, nullptr, quantize_row, unpack, strip, nullptr, 0};

void finish_block(ActivationBlock& block, float scale, int32_t low, int32_t high, StripForm form) {
  block.scale = scale;
  block.sum = scale * static_cast<float>(low + high);
  block.bias[0] = -form.zero * (form.fine ? low : low + high);
  block.bias[1] = -form.zero * high;
}

const GemmKernels& gemm_kernels([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::Avx512) return gemm_avx512;
  if (isa == Isa::Avx2) return gemm_avx2;
#endif
  return gemm_portable;
}

}  // namespace infernum
