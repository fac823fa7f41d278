// Few tokens times packed rows, weights read once and in order. Sums take the order of strip_avx512.cpp. Floor: packed bytes / memory
// bandwidth.
#include <iterator>

#include "ops/cpu/gemm_avx512.h"
#include "ops/cpu/packed_avx512.h"

namespace infernum {
namespace {

[[gnu::always_inline]] inline __m512i four_values(const int8_t* q) {
  int32_t lane;
  __builtin_memcpy(&lane, q, 4);
  return _mm512_set1_epi32(lane);
}

template <DType type>
[[gnu::always_inline]] inline __m512 add_block(__m512 acc, const ActivationBlock& x, const Block512& w) {
  constexpr StripForm form = strip_form(type);
  const __m512 x_scale = _mm512_set1_ps(x.scale);
  __m512i low = _mm512_setzero_si512(), high = low;  // two chains: half the latency
  if constexpr (form.fine) {
    low = _mm512_set1_epi32(x.bias[0]);
    high = _mm512_set1_epi32(x.bias[1]);
  } else if constexpr (form.zero != 0) {
    low = _mm512_set1_epi32(x.bias[0]);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {
    low = _mm512_dpbusd_epi32(low, w.q[j], four_values(x.q + 4 * j));
    high = _mm512_dpbusd_epi32(high, w.q[4 + j], four_values(x.q + 16 + 4 * j));
  }
  if constexpr (form.fine) {
    const __m512 sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(high), w.scale_high, _mm512_mul_ps(_mm512_cvtepi32_ps(low), w.scale));
    return _mm512_fmadd_ps(sum, x_scale, acc);
  }
  acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(low, high)), _mm512_mul_ps(w.scale, x_scale), acc);
  if constexpr (form.has_min) acc = _mm512_fnmadd_ps(w.min, _mm512_set1_ps(x.sum), acc);
  return acc;
}

/// Several tokens take so long on a block that the core no longer looks ahead by itself; one or two it only slows down. Q8_0 of 8 tokens on
/// Zen 4: 1.6 times as fast.
constexpr int64_t bytes_ahead = 2048;
[[gnu::always_inline]] inline void ask_for(const std::byte* from, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) _mm_prefetch(reinterpret_cast<const char*>(from + i), _MM_HINT_T0);
}

/// Group g times tokens first .. first + tokens - 1.
template <DType type, int tokens>
void multiply_group(const GemvCall& call, int64_t g, int64_t first) {
  const ActivationBlock* x[tokens];
  for (int t = 0; t < tokens; t++) x[t] = call.x.row(call.x_rows[first + t]);
  const std::byte* group = call.packed + g * call.group_bytes;
  const int64_t block_bytes = call.group_bytes / (call.x.k / activation_block);
  __m512 acc[tokens];
#pragma GCC unroll 8
  for (int t = 0; t < tokens; t++) acc[t] = _mm512_setzero_ps();
  visit_blocks<type>(
      group, 0, call.x.k, [&](int64_t b, const Block512& w) __attribute__((always_inline)) {
#pragma GCC unroll 8
        for (int t = 0; t < tokens; t++) acc[t] = add_block<type>(acc[t], x[t][b], w);
        if constexpr (tokens > 2) ask_for(group + b * block_bytes + bytes_ahead, block_bytes);
      });
  for (int t = 0; t < tokens; t++) _mm512_storeu_ps(call.c + call.c_rows[first + t] * call.c_stride + group_rows * g, acc[t]);
}

/// A group lies in the cache for the second and further tiles of at most 8 tokens.
template <DType type>
void multiply(const GemvCall& call) {
  constexpr void (*of_tokens[])(const GemvCall&, int64_t, int64_t) = {
      multiply_group<type, 1>, multiply_group<type, 2>, multiply_group<type, 3>, multiply_group<type, 4>,
      multiply_group<type, 5>, multiply_group<type, 6>, multiply_group<type, 7>, multiply_group<type, 8>};
  constexpr int64_t most = std::size(of_tokens);
  for (int64_t g = 0; g < call.groups; g++)
    for (int64_t t = 0; t < call.m;) {
      const int64_t tiles = (call.m - t + most - 1) / most, tokens = (call.m - t + tiles - 1) / tiles;
      of_tokens[tokens - 1](call, g, t);
      t += tokens;
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
