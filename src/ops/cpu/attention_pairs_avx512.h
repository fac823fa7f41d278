// Products of queries with keys and of weights with values for a BF16 cache whose keys are rows: vdpbf16ps adds two products per lane, at
// twice the rate of F32. Pairs are neighbouring components of a key, and keys at an even position and the next.
#pragma once
#include <immintrin.h>

#include <algorithm>

#include "ops/cpu/attention_values.h"

namespace infernum {
namespace {

/// bfloat16 of a in the low halves, of b in the high ones.
inline __m512i pack_pairs(__m512 a, __m512 b) {
  const auto low = (__m256i)_mm512_cvtneps_pbh(a), high = (__m256i)_mm512_cvtneps_pbh(b);
  return _mm512_or_si512(_mm512_cvtepu16_epi32(low), _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
}

inline __m512bh broadcast_pair(const void* p) {
  int32_t pair;
  std::memcpy(&pair, p, sizeof pair);
  return (__m512bh)_mm512_set1_epi32(pair);
}

/// s (N keys, 16 rows) = k (N, key_dim) * q; qt (key_dim / 2 rounded up, 16) pairs, zero behind an odd last component.
/// `ahead`: N keys in the cache that come later.
template <int N>
inline void score_pairs(float* s, const float* qt, const BF16* k, int64_t key_dim, int64_t stride, const char* ahead) {
  __m512 sum[N];
  for (int n = 0; n < N; n++) sum[n] = _mm512_setzero_ps();
  for (int64_t d = 0; d + 2 <= key_dim; d += 2) {
    const auto q = (__m512bh)_mm512_loadu_si512(qt + d / 2 * lanes);
    _mm_prefetch(ahead + d * N * 2, _MM_HINT_T1);
    for (int n = 0; n < N; n++) sum[n] = _mm512_dpbf16_ps(sum[n], q, broadcast_pair(k + n * stride + d));
  }
  if (key_dim % 2)
    for (int n = 0; n < N; n++) {
      const BF16 pair[2] = {k[n * stride + key_dim - 1], BF16()};
      sum[n] = _mm512_dpbf16_ps(sum[n], (__m512bh)_mm512_loadu_si512(qt + key_dim / 2 * lanes), broadcast_pair(pair));
    }
  for (int n = 0; n < N; n++) _mm512_storeu_ps(s + n * lanes, sum[n]);
}

/// out (N rows, 32 columns or the first `columns` of them) += p * v; p (pairs of keys, 16 rows); the columns of v begin at `from`.
template <int N>
inline void add_value_pairs(float* out, const float* p, const ValueRows<BF16>& v, int64_t from, int64_t columns, int64_t value_dim) {
  alignas(64) static constexpr auto words = [] {  // of two rows of 32 side by side, so that word i of the one meets word i of the other
    std::array<uint16_t, 64> order{};
    for (size_t i = 0; i < 64; i++) order[i] = static_cast<uint16_t>(i / 2 + 32 * (i % 2));
    return order;
  }();
  const __m512i left = _mm512_load_si512(words.data()), right = _mm512_load_si512(words.data() + 32);
  const __mmask32 mask = columns >= 32 ? ~0u : (1u << columns) - 1;
  const auto low = static_cast<__mmask16>(mask), high = static_cast<__mmask16>(mask >> 16);
  __m512 sum[N][2];
  for (int n = 0; n < N; n++) {
    sum[n][0] = _mm512_maskz_loadu_ps(low, out + n * value_dim);
    sum[n][1] = _mm512_maskz_loadu_ps(high, out + n * value_dim + lanes);
  }
  for (int64_t j = 0; j < v.count; j += 2) {
    const __m512i a = _mm512_maskz_loadu_epi16(mask, v.row[static_cast<size_t>(j)] + from),
                  b = _mm512_maskz_loadu_epi16(mask, v.row[static_cast<size_t>(j + 1)] + from);
    const auto v0 = (__m512bh)_mm512_permutex2var_epi16(a, left, b), v1 = (__m512bh)_mm512_permutex2var_epi16(a, right, b);
    for (int n = 0; n < N; n++) {
      const __m512bh weights = broadcast_pair(p + j / 2 * lanes + n);
      sum[n][0] = _mm512_dpbf16_ps(sum[n][0], weights, v0);
      sum[n][1] = _mm512_dpbf16_ps(sum[n][1], weights, v1);
    }
  }
  for (int n = 0; n < N; n++) {
    _mm512_mask_storeu_ps(out + n * value_dim, low, sum[n][0]);
    _mm512_mask_storeu_ps(out + n * value_dim + lanes, high, sum[n][1]);
  }
}

/// out (rows, value_dim) += p * v.
inline void add_pairs(float* out, int64_t rows, const float* p, const ValueRows<BF16>& v, int64_t value_dim) {
  for (int64_t d = 0; d < value_dim; d += 32) {
    const int64_t columns = std::min<int64_t>(32, value_dim - d);
    int64_t r = 0;
    for (; r + 8 <= rows; r += 8) add_value_pairs<8>(out + r * value_dim + d, p + r, v, d, columns, value_dim);
    for (; r + 2 <= rows; r += 2) add_value_pairs<2>(out + r * value_dim + d, p + r, v, d, columns, value_dim);
    for (; r < rows; r++) add_value_pairs<1>(out + r * value_dim + d, p + r, v, d, columns, value_dim);
  }
}

/// x (n, 16) as pairs (n / 2 rounded up, 16), in place; zero behind an odd last one.
inline void to_pairs(float* x, int64_t n) {
  for (int64_t i = 0; i < n; i += 2) {
    const __m512 a = _mm512_loadu_ps(x + i * lanes), b = i + 1 < n ? _mm512_loadu_ps(x + (i + 1) * lanes) : _mm512_setzero_ps();
    _mm512_storeu_si512(x + i / 2 * lanes, pack_pairs(a, b));
  }
}

}  // namespace
}  // namespace infernum
