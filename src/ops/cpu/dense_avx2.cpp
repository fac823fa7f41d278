// Dense weights as they lie in the file: both operands run along k, sums stay in 8 lanes until the end of the row.
// Floor, many tokens: two vector multiply-adds a cycle (16 products). Few tokens: weight bytes / memory bandwidth.
#include "ops/cpu/gemm_avx2.h"

namespace infernum {
namespace {

float f32_of(const std::byte* p) {
  float f;
  __builtin_memcpy(&f, p, 4);
  return f;
}

uint16_t half_of(const std::byte* p) {
  uint16_t h;
  __builtin_memcpy(&h, p, 2);
  return h;
}

__m128i load_halves(const std::byte* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

/// How eight weights, or one, become f32.
struct F32Weights {
  static constexpr int64_t bytes = 4;
  static __m256 wide(const std::byte* p) { return _mm256_loadu_ps(reinterpret_cast<const float*>(p)); }
  static float one(const std::byte* p) { return f32_of(p); }
};
struct F16Weights {
  static constexpr int64_t bytes = 2;
  static __m256 wide(const std::byte* p) { return _mm256_cvtph_ps(load_halves(p)); }
  static float one(const std::byte* p) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half_of(p)))); }
};
struct BF16Weights {
  static constexpr int64_t bytes = 2;
  static __m256 wide(const std::byte* p) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_halves(p)), 16)); }
  static float one(const std::byte* p) { return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(half_of(p) << 16))); }
};

[[gnu::always_inline]] inline float sum_of(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

/// `tokens` x `rows` outputs, `unroll` vectors of k at a time. Rows past the matrix repeat its last one and are not stored.
template <class W, int tokens, int rows, int unroll, bool prefetch>
void multiply_tile(const DenseCall& call, int64_t first_token, int64_t first_row) {
  const int64_t live = call.n - first_row < rows ? call.n - first_row : rows, step = 8 * unroll;
  const std::byte *x[tokens], *w[rows];
  __m256 acc[tokens][rows][unroll];
#pragma GCC unroll 4
  for (int t = 0; t < tokens; t++) x[t] = call.x + call.x_rows[first_token + t] * call.x_stride;
#pragma GCC unroll 4
  for (int r = 0; r < rows; r++) w[r] = call.w + (first_row + (r < live ? r : live - 1)) * call.w_stride;
#pragma GCC unroll 4
  for (int t = 0; t < tokens; t++)
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
      for (int u = 0; u < unroll; u++) acc[t][r][u] = _mm256_setzero_ps();
  const auto add_vector = [&](int64_t i, int u) __attribute__((always_inline)) {
    __m256 xs[tokens];
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++) xs[t] = _mm256_loadu_ps(reinterpret_cast<const float*>(x[t] + 4 * i));
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
      const __m256 ws = W::wide(w[r] + W::bytes * i);
#pragma GCC unroll 4
      for (int t = 0; t < tokens; t++) acc[t][r][u] = _mm256_fmadd_ps(ws, xs[t], acc[t][r][u]);
    }
  };
  int64_t i = 0;
  for (; i + step <= call.k; i += step) {
    if constexpr (prefetch)
#pragma GCC unroll 4
      for (int64_t line = 0; line < step * W::bytes; line += 64)
        _mm_prefetch(reinterpret_cast<const char*>(w[0] + W::bytes * i + 2048 + line), _MM_HINT_T0);
#pragma GCC unroll 4
    for (int u = 0; u < unroll; u++) add_vector(i + 8 * u, u);
  }
  for (; i + 8 <= call.k; i += 8) add_vector(i, 0);
  for (int t = 0; t < tokens; t++)
    for (int r = 0; r < live; r++) {
#pragma GCC unroll 4
      for (int u = 1; u < unroll; u++) acc[t][r][0] = _mm256_add_ps(acc[t][r][0], acc[t][r][u]);
      float sum = sum_of(acc[t][r][0]);
      for (int64_t rest = i; rest < call.k; rest++) sum += f32_of(x[t] + 4 * rest) * W::one(w[r] + W::bytes * rest);
      float& c = call.c[call.c_rows[first_token + t] * call.c_stride + first_row + r];
      c = call.accumulate ? c + sum : sum;
    }
}

template <class W>
void multiply(const DenseCall& call) {
  if (call.m == 1)  // one stream through the weights
    for (int64_t r = 0; r < call.n; r++) multiply_tile<W, 1, 1, 4, true>(call, 0, r);
  else if (call.m == 2)
    for (int64_t r = 0; r < call.n; r++) multiply_tile<W, 2, 1, 4, true>(call, 0, r);
  else
    for (int64_t t = 0; t < call.m; t += t + 3 <= call.m ? 3 : 1)
      for (int64_t r = 0; r < call.n; r += 4)
        if (t + 3 <= call.m)
          multiply_tile<W, 3, 4, 1, false>(call, t, r);
        else
          multiply_tile<W, 1, 4, 2, false>(call, t, r);
}

}  // namespace

void dense_f32_avx2(const DenseCall& call) { multiply<F32Weights>(call); }
void dense_f16_avx2(const DenseCall& call) { multiply<F16Weights>(call); }
void dense_bf16_avx2(const DenseCall& call) { multiply<BF16Weights>(call); }

}  // namespace infernum
