// Dense weights as they lie in the file: both operands run along k, sums stay in lanes until the end of a chunk.
// Floor, many tokens: two vector multiply-adds a cycle (16 products). Few tokens: weight bytes / memory bandwidth.
#include "ops/cpu/gemm_avx2.h"

namespace infernum {
namespace {

float f32_of(const std::byte* p) {
  float f;
  __builtin_memcpy(&f, p, 4);
  return f;
}

__m128i load_halves(const std::byte* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

/// How eight weights, or one, become f32.
struct F32Weights {
  static constexpr int64_t bytes = 4;
  static __m256 wide(const std::byte* p) { return _mm256_loadu_ps(reinterpret_cast<const float*>(p)); }
};
struct F16Weights {
  static constexpr int64_t bytes = 2;
  static __m256 wide(const std::byte* p) { return _mm256_cvtph_ps(load_halves(p)); }
};
struct BF16Weights {
  static constexpr int64_t bytes = 2;
  static __m256 wide(const std::byte* p) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_halves(p)), 16)); }
};

[[gnu::always_inline]] inline float sum_of(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

/// The values i .. i + 7 of x and w, those past `k` zero.
inline __m256 x_part(const std::byte* x, int64_t i, int64_t k) {
  float part[8] = {};
  for (int64_t j = 0; j < 8 && i + j < k; j++) part[j] = f32_of(x + 4 * (i + j));
  return _mm256_loadu_ps(part);
}
template <class W>
__m256 w_part(const std::byte* w, int64_t i, int64_t k) {
  std::byte part[32] = {};
  if (i < k) __builtin_memcpy(part, w + W::bytes * i, static_cast<size_t>(W::bytes * (k - i < 8 ? k - i : 8)));
  return W::wide(part);
}

/// Few tokens times one row: a single stream through the weights.
template <class W, int tokens>
void stream_row(const DenseCall& call, int64_t row) {
  constexpr int64_t chunk = 16 * chunk_vectors;
  const std::byte *x[tokens], *w = call.w + row * call.w_stride;
  float total[tokens] = {};
  for (int t = 0; t < tokens; t++) x[t] = call.x + call.x_rows[t] * call.x_stride;
  for (int t = 0; call.accumulate && t < tokens; t++) total[t] = call.c[call.c_rows[t] * call.c_stride + row];
  for (int64_t k0 = 0; k0 < call.k; k0 += chunk) {
    const int64_t end = call.k - k0 < chunk ? call.k : k0 + chunk;
    __m256 acc[tokens][2];
#pragma GCC unroll 2
    for (int t = 0; t < tokens; t++) acc[t][0] = acc[t][1] = _mm256_setzero_ps();
    int64_t i = k0;
    const auto add_vectors = [&](int64_t at) __attribute__((always_inline)) {
#pragma GCC unroll 2
      for (int half = 0; half < 2; half++) {
        const __m256 ws = W::wide(w + W::bytes * (at + 8 * half));
#pragma GCC unroll 2
        for (int t = 0; t < tokens; t++)
          acc[t][half] = _mm256_fmadd_ps(ws, _mm256_loadu_ps(reinterpret_cast<const float*>(x[t] + 4 * (at + 8 * half))), acc[t][half]);
      }
    };
    for (; i + 32 <= end; i += 32) {
#pragma GCC unroll 2
      for (int64_t line = 0; line < 32 * W::bytes; line += 64)
        _mm_prefetch(reinterpret_cast<const char*>(w + W::bytes * i + 2048 + line), _MM_HINT_T0);
      add_vectors(i);
      add_vectors(i + 16);
    }
    for (; i + 16 <= end; i += 16) add_vectors(i);
    if (i < end)
      for (int half = 0; half < 2; half++)
        for (int t = 0; t < tokens; t++)
          acc[t][half] = _mm256_fmadd_ps(w_part<W>(w, i + 8 * half, end), x_part(x[t], i + 8 * half, end), acc[t][half]);
#pragma GCC unroll 2
    for (int t = 0; t < tokens; t++) total[t] += sum_of(_mm256_add_ps(acc[t][0], acc[t][1]));
  }
  for (int t = 0; t < tokens; t++) call.c[call.c_rows[t] * call.c_stride + row] = total[t];
}

/// `tokens` x `rows` outputs, first lanes 0 .. 7 of a chunk, then lanes 8 .. 15: both at once would need twice the registers. Rows past the
/// matrix repeat its last one and are not stored.
template <class W, int tokens, int rows>
void multiply_tile(const DenseCall& call, int64_t first_token, int64_t first_row) {
  constexpr int64_t chunk = 16 * chunk_vectors;
  const int64_t live = call.n - first_row < rows ? call.n - first_row : rows;
  const std::byte *x[tokens], *w[rows];
  for (int t = 0; t < tokens; t++) x[t] = call.x + call.x_rows[first_token + t] * call.x_stride;
  for (int r = 0; r < rows; r++) w[r] = call.w + (first_row + (r < live ? r : live - 1)) * call.w_stride;
  for (int64_t k0 = 0; k0 == 0 || k0 < call.k; k0 += chunk) {
    const int64_t end = call.k - k0 < chunk ? call.k : k0 + chunk;
    __m256 sums[tokens][rows];
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
      __m256 acc[tokens][rows];
#pragma GCC unroll 4
      for (int t = 0; t < tokens; t++)
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) acc[t][r] = _mm256_setzero_ps();
      int64_t i = k0 + 8 * half;
      for (; i + 8 <= end; i += 16) {
        __m256 xs[tokens];
#pragma GCC unroll 4
        for (int t = 0; t < tokens; t++) xs[t] = _mm256_loadu_ps(reinterpret_cast<const float*>(x[t] + 4 * i));
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
          const __m256 ws = W::wide(w[r] + W::bytes * i);
#pragma GCC unroll 4
          for (int t = 0; t < tokens; t++) acc[t][r] = _mm256_fmadd_ps(ws, xs[t], acc[t][r]);
        }
      }
      if (i < end)
        for (int t = 0; t < tokens; t++)
          for (int r = 0; r < rows; r++) acc[t][r] = _mm256_fmadd_ps(w_part<W>(w[r], i, end), x_part(x[t], i, end), acc[t][r]);
#pragma GCC unroll 4
      for (int t = 0; t < tokens; t++)
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) sums[t][r] = half ? _mm256_add_ps(sums[t][r], acc[t][r]) : acc[t][r];
    }
    const bool add = call.accumulate || k0 > 0;
    for (int t = 0; t < tokens; t++) {
      float* c = call.c + call.c_rows[first_token + t] * call.c_stride + first_row;
      for (int64_t r = 0; r < live; r++) c[r] = (add ? c[r] : 0) + sum_of(sums[t][r]);
    }
  }
}

template <class W>
void multiply(const DenseCall& call) {
  if (call.m == 1)
    for (int64_t r = 0; r < call.n; r++) stream_row<W, 1>(call, r);
  else if (call.m == 2)
    for (int64_t r = 0; r < call.n; r++) stream_row<W, 2>(call, r);
  else
    for (int64_t t = 0; t < call.m; t += t + 3 <= call.m ? 3 : 1)
      for (int64_t r = 0; r < call.n; r += 4)
        if (t + 3 <= call.m)
          multiply_tile<W, 3, 4>(call, t, r);
        else
          multiply_tile<W, 1, 4>(call, t, r);
}

}  // namespace

void dense_f32_avx2(const DenseCall& call) { multiply<F32Weights>(call); }
void dense_f16_avx2(const DenseCall& call) { multiply<F16Weights>(call); }
void dense_bf16_avx2(const DenseCall& call) { multiply<BF16Weights>(call); }

}  // namespace infernum
