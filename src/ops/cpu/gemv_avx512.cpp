// Few tokens times packed rows, weights read once and in order. Sums take the order of strip_avx512.cpp. Floor: packed bytes / memory
// bandwidth.
#include "ops/cpu/gemm_avx512.h"
#include "ops/cpu/packed_avx512.h"

namespace infernum {
namespace {

/// One token's view of the activations.
struct Token {
  const int8_t* q;
  const float* scale;
  const float* sum;
  const int32_t* bias;
};

[[gnu::always_inline]] inline __m512i four_values(const int8_t* q) {
  int32_t lane;
  __builtin_memcpy(&lane, q, 4);
  return _mm512_set1_epi32(lane);
}

template <DType type>
[[gnu::always_inline]] inline __m512 add_block(__m512 acc, const Token& x, int64_t b, const Block512& w) {
  constexpr StripForm form = strip_form(type);
  const int8_t* q = x.q + b * activation_block;
  const __m512 x_scale = _mm512_set1_ps(x.scale[b]);
  __m512i low = _mm512_setzero_si512(), high = low;  // two chains: half the latency
  if constexpr (form.fine) {
    low = _mm512_set1_epi32(x.bias[2 * b]);
    high = _mm512_set1_epi32(x.bias[2 * b + 1]);
  } else if constexpr (form.zero != 0) {
    low = _mm512_set1_epi32(x.bias[b]);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {
    low = _mm512_dpbusd_epi32(low, w.q[j], four_values(q + 4 * j));
    high = _mm512_dpbusd_epi32(high, w.q[4 + j], four_values(q + 16 + 4 * j));
  }
  if constexpr (form.fine) {
    const __m512 sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(high), w.scale_high, _mm512_mul_ps(_mm512_cvtepi32_ps(low), w.scale));
    return _mm512_fmadd_ps(sum, x_scale, acc);
  }
  acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(low, high)), _mm512_mul_ps(w.scale, x_scale), acc);
  if constexpr (form.has_min) acc = _mm512_fnmadd_ps(w.min, _mm512_set1_ps(x.sum[b]), acc);
  return acc;
}

template <DType type, int tokens>
void multiply(const GemvCall& call) {
  const int64_t k = call.x.k, blocks = k / activation_block;
  Token x[tokens];
  for (int t = 0; t < tokens; t++) {
    const int64_t row = call.x_rows[t];
    x[t] = {call.x.q + row * k, call.x.scale + row * blocks, call.x.sum + row * blocks,
            call.x.bias + row * blocks * (strip_form(type).fine ? 2 : 1)};
  }
  for (int64_t g = 0; g < call.groups; g++) {
    __m512 acc[tokens];
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++) acc[t] = _mm512_setzero_ps();
    visit_blocks<type>(
        call.packed + g * call.group_bytes, 0, k, [&](int64_t b, const Block512& w) __attribute__((always_inline)) {
#pragma GCC unroll 4
          for (int t = 0; t < tokens; t++) acc[t] = add_block<type>(acc[t], x[t], b, w);
        });
    for (int t = 0; t < tokens; t++) _mm512_storeu_ps(call.c + call.c_rows[t] * call.c_stride + group_rows * g, acc[t]);
  }
}

template <DType type>
void multiply(const GemvCall& call) {
  switch (call.m) {
    case 1: return multiply<type, 1>(call);
    case 2: return multiply<type, 2>(call);
    case 3: return multiply<type, 3>(call);
    default: return multiply<type, 4>(call);
  }
}

}  // namespace

void gemv_avx512(const GemvCall& call) {
  switch (call.type) {
    case DType::Q4_0_R16: return multiply<DType::Q4_0_R16>(call);
    case DType::Q4_1_R16: return multiply<DType::Q4_1_R16>(call);
    case DType::Q5_0_R16: return multiply<DType::Q5_0_R16>(call);
    case DType::Q5_1_R16: return multiply<DType::Q5_1_R16>(call);
    case DType::Q8_0_R16: return multiply<DType::Q8_0_R16>(call);
    case DType::IQ4_NL_R16: return multiply<DType::IQ4_NL_R16>(call);
    case DType::MXFP4_R16: return multiply<DType::MXFP4_R16>(call);
    case DType::Q4_K_R16: return multiply<DType::Q4_K_R16>(call);
    case DType::Q5_K_R16: return multiply<DType::Q5_K_R16>(call);
    default: return multiply<DType::Q6_K_R16>(call);
  }
}

}  // namespace infernum
