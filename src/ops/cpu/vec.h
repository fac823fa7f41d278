// Sixteen floats as one GCC/Clang vector: one source for every instruction set, compiled once per level.
// Everything here has internal linkage, because the same text becomes different code in files with different flags.
#pragma once
#include <cstdint>
#include <cstring>

#include "core/half.h"

#if defined(__AVX512F__) || defined(__F16C__)
#include <immintrin.h>
#endif

namespace infernum {
namespace {

using Vec = float __attribute__((vector_size(64)));
using VecI = int32_t __attribute__((vector_size(64)));
constexpr int64_t lanes = 16;

inline Vec splat(float v) { return Vec{} + v; }
inline Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }

inline Vec load(const BF16* p) {
#if defined(__AVX512F__)
  return (Vec)_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
#else
  Vec v;
  for (int i = 0; i < lanes; i++) v[i] = static_cast<float>(p[i]);
  return v;
#endif
}
inline Vec load(const F16* p) {
#if defined(__AVX512F__)
  return (Vec)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#else
  Vec v;
  for (int i = 0; i < lanes; i++) v[i] = static_cast<float>(p[i]);
  return v;
#endif
}
inline void store(BF16* p, Vec v) {
  for (int i = 0; i < lanes; i++) p[i] = BF16(v[i]);
}
inline void store(F16* p, Vec v) {
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT));
#else
  for (int i = 0; i < lanes; i++) p[i] = F16(v[i]);
#endif
}

inline float sum(Vec v) {
  float s[16];
  store(s, v);
  for (int step = 8; step > 0; step /= 2)
    for (int i = 0; i < step; i++) s[i] += s[i + step];
  return s[0];
}

/// m[i][j] becomes m[j][i]: four rounds of interleaving row i with row i + 8.
inline void transpose(Vec (&m)[16]) {
  for (int round = 0; round < 4; round++) {
    Vec next[16];
    for (int i = 0; i < 8; i++) {
      const Vec a = m[i], b = m[i + 8];
      next[2 * i] = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      next[2 * i + 1] = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    for (int i = 0; i < 16; i++) m[i] = next[i];
  }
}

/// e^x, relative error below 3e-7; 0 below -87.3, inf above 88.7; NaN stays NaN. Cephes-style: 2^n * p(r), |r| <= ln(2) / 2.
inline Vec exp(Vec x) {
  const Vec high = splat(88.7228f), low = splat(-87.3365f);
  const VecI overflow = x > high, underflow = x < low;
  Vec y = overflow ? high : x;
  y = underflow ? low : y;
  const Vec magic = splat(12582912.f);  // 1.5 * 2^23: adding it rounds to an integer
  const Vec n = (y * 1.44269504f + magic) - magic;
  const Vec r = (y - n * 0.693359375f) + n * 2.12194440e-4f;
  Vec p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.f;
  // 2^n in two factors, so that n = 128 does not overflow the exponent field.
  const VecI exponent = __builtin_convertvector(n, VecI), half = exponent >> 1;
  const Vec scale = (Vec)((half + 127) << 23), rest = (Vec)((exponent - half + 127) << 23);
  Vec result = p * scale * rest;
  result = underflow ? splat(0) : result;
  return overflow ? splat(__builtin_inff()) : result;
}

inline Vec silu(Vec x) { return x / (1.f + exp(-x)); }

}  // namespace
}  // namespace infernum
