// Unpacks row groups to bytes and multiplies them with many tokens.
// Floor: 16 x 4 products a cycle (vpdpbusd); two more multiplies for every eight of them leave 80 % of it, three with mins or fine scales
// 73 %.
#include "ops/cpu/gemm_avx512.h"
#include "ops/cpu/packed_avx512.h"

namespace infernum {
namespace {

template <DType type>
void unpack(const UnpackCall& call) {
  constexpr StripForm form = strip_form(type);
  visit_blocks<type>(
      call.packed, call.k0, call.k1, [&](int64_t b, const Block512& w) __attribute__((always_inline)) {
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) _mm512_store_si512(call.strip.q + 512 * b + 64 * j, w.q[j]);
        if constexpr (form.fine) {
          _mm512_store_ps(call.strip.scale + 2 * group_rows * b, w.scale);
          _mm512_store_ps(call.strip.scale + 2 * group_rows * b + group_rows, w.scale_high);
        } else {
          _mm512_store_ps(call.strip.scale + group_rows * b, w.scale);
        }
        if constexpr (form.has_min) _mm512_store_ps(call.strip.min + group_rows * b, w.min);
      });
}

[[gnu::always_inline]] inline __m512i four_values(const int8_t* q) {
  int32_t lane;
  __builtin_memcpy(&lane, q, 4);
  return _mm512_set1_epi32(lane);
}

/// `tokens` x `groups` tile over all blocks.
template <int groups, int tokens, bool has_min, bool fine>
void multiply_tile(const StripCall& call, int64_t first) {
  constexpr int parts = fine ? 2 : 1, steps = 8 / parts;
  const ActivationBlock* x[tokens];
  __m512 acc[tokens][groups];
#pragma GCC unroll 8
  for (int t = 0; t < tokens; t++) {
    x[t] = call.x.row(call.x_rows[first + t]) + call.block0;
#pragma GCC unroll 2
    for (int g = 0; g < groups; g++)
      acc[t][g] = call.accumulate ? _mm512_loadu_ps(call.c + call.c_rows[first + t] * call.c_stride + group_rows * g) : _mm512_setzero_ps();
  }
  for (int64_t b = 0; b < call.blocks; b++) {
    __m512 part_sum[tokens][groups];
#pragma GCC unroll 2
    for (int p = 0; p < parts; p++) {
      __m512i dot[tokens][groups];
#pragma GCC unroll 8
      for (int t = 0; t < tokens; t++)
#pragma GCC unroll 2
        for (int g = 0; g < groups; g++) dot[t][g] = has_min ? _mm512_setzero_si512() : _mm512_set1_epi32(x[t][b].bias[p]);
#pragma GCC unroll 8
      for (int j = 0; j < steps; j++) {
        __m512i w[groups];
#pragma GCC unroll 2
        for (int g = 0; g < groups; g++) w[g] = _mm512_load_si512(call.strips[g].q + 512 * b + 64 * (steps * p + j));
#pragma GCC unroll 8
        for (int t = 0; t < tokens; t++) {
          const __m512i four = four_values(x[t][b].q + 4 * (steps * p + j));
#pragma GCC unroll 2
          for (int g = 0; g < groups; g++) dot[t][g] = _mm512_dpbusd_epi32(dot[t][g], w[g], four);
        }
      }
#pragma GCC unroll 2
      for (int g = 0; g < groups; g++) {
        const __m512 scale = _mm512_load_ps(call.strips[g].scale + group_rows * (parts * b + p));
#pragma GCC unroll 8
        for (int t = 0; t < tokens; t++) {
          const __m512 sum = _mm512_cvtepi32_ps(dot[t][g]);
          if constexpr (!fine)
            acc[t][g] = _mm512_fmadd_ps(sum, _mm512_mul_ps(scale, _mm512_set1_ps(x[t][b].scale)), acc[t][g]);
          else if (p == 0)
            part_sum[t][g] = _mm512_mul_ps(sum, scale);
          else
            acc[t][g] = _mm512_fmadd_ps(_mm512_fmadd_ps(sum, scale, part_sum[t][g]), _mm512_set1_ps(x[t][b].scale), acc[t][g]);
        }
      }
    }
    if constexpr (has_min)
#pragma GCC unroll 2
      for (int g = 0; g < groups; g++) {
        const __m512 min = _mm512_load_ps(call.strips[g].min + group_rows * b);
#pragma GCC unroll 8
        for (int t = 0; t < tokens; t++) acc[t][g] = _mm512_fnmadd_ps(min, _mm512_set1_ps(x[t][b].sum), acc[t][g]);
      }
  }
#pragma GCC unroll 8
  for (int t = 0; t < tokens; t++)
#pragma GCC unroll 2
    for (int g = 0; g < groups; g++) _mm512_storeu_ps(call.c + call.c_rows[first + t] * call.c_stride + group_rows * g, acc[t][g]);
}

/// Tiles of at most `most` tokens, all nearly as wide: narrow ones are bound by loads.
template <int groups, int most, bool has_min, bool fine>
void multiply_all(const StripCall& call) {
  for (int64_t t = 0; t < call.m;) {
    const int64_t left = call.m - t, tiles = (left + most - 1) / most, tokens = (left + tiles - 1) / tiles;
    switch (tokens) {
      case 1: multiply_tile<groups, 1, has_min, fine>(call, t); break;
      case 2: multiply_tile<groups, 2, has_min, fine>(call, t); break;
      case 3: multiply_tile<groups, 3, has_min, fine>(call, t); break;
      case 4: multiply_tile<groups, 4, has_min, fine>(call, t); break;
      default:
        if constexpr (most > 4)
          tokens == 5 ? multiply_tile<groups, 5, has_min, fine>(call, t) : multiply_tile<groups, 6, has_min, fine>(call, t);
    }
    t += tokens;
  }
}

template <int groups>
void multiply(const StripCall& call) {
  if (call.form.fine)
    multiply_all<groups, 4, false, true>(call);
  else if (call.form.has_min)
    multiply_all<groups, 6, true, false>(call);
  else
    multiply_all<groups, 6, false, false>(call);
}

}  // namespace

void unpack_avx512(const UnpackCall& call) {
  switch (call.type) {
    case DType::Q4_0_R16: return unpack<DType::Q4_0_R16>(call);
    case DType::Q4_1_R16: return unpack<DType::Q4_1_R16>(call);
    case DType::Q5_0_R16: return unpack<DType::Q5_0_R16>(call);
    case DType::Q5_1_R16: return unpack<DType::Q5_1_R16>(call);
    case DType::Q8_0_R16: return unpack<DType::Q8_0_R16>(call);
    case DType::IQ4_NL_R16: return unpack<DType::IQ4_NL_R16>(call);
    case DType::MXFP4_R16: return unpack<DType::MXFP4_R16>(call);
    case DType::Q4_K_R16: return unpack<DType::Q4_K_R16>(call);
    case DType::Q5_K_R16: return unpack<DType::Q5_K_R16>(call);
    default: return unpack<DType::Q6_K_R16>(call);
  }
}

void strip_avx512(const StripCall& call) { call.groups == 2 ? multiply<2>(call) : multiply<1>(call); }

}  // namespace infernum
