// Few tokens times dense weights as they lie in the file: both operands run along k, sums stay in 16 lanes until the end of the row.
// Floor: weight bytes / memory bandwidth.
#include "ops/cpu/gemm_avx2.h"
#include "ops/cpu/gemm_avx512.h"

namespace infernum {
namespace {

/// How 16 (32 for pairs) values of x and w are loaded and multiplied.
struct F32Weights {
  static constexpr int64_t lanes = 16, x_bytes = 4, w_bytes = 4;
  using Vector = __m512;
  static Vector x(const std::byte* p) { return _mm512_loadu_ps(p); }
  static Vector x(const std::byte* p, int64_t rest) { return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << rest) - 1), p); }
  static Vector w(const std::byte* p) { return _mm512_loadu_ps(p); }
  static Vector w(const std::byte* p, int64_t rest) { return x(p, rest); }
  static __m512 add(__m512 acc, Vector a, Vector b) { return _mm512_fmadd_ps(a, b, acc); }
};

__m256i load_part(const std::byte* p, int64_t rest) { return _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << rest) - 1), p); }
__m256i load_all(const std::byte* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

struct F16Weights : F32Weights {
  static constexpr int64_t w_bytes = 2;
  static Vector w(const std::byte* p) { return _mm512_cvtph_ps(load_all(p)); }
  static Vector w(const std::byte* p, int64_t rest) { return _mm512_cvtph_ps(load_part(p, rest)); }
};

struct BF16Weights : F32Weights {
  static constexpr int64_t w_bytes = 2;
  static Vector widen(__m256i h) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16)); }
  static Vector w(const std::byte* p) { return widen(load_all(p)); }
  static Vector w(const std::byte* p, int64_t rest) { return widen(load_part(p, rest)); }
};

struct BF16Pairs {
  static constexpr int64_t lanes = 32, x_bytes = 2, w_bytes = 2;
  using Vector = __m512bh;
  static Vector x(const std::byte* p) { return reinterpret_cast<Vector>(_mm512_loadu_si512(p)); }
  static Vector x(const std::byte* p, int64_t rest) {
    return reinterpret_cast<Vector>(_mm512_maskz_loadu_epi16(static_cast<__mmask32>((uint64_t{1} << rest) - 1), p));
  }
  static Vector w(const std::byte* p) { return x(p); }
  static Vector w(const std::byte* p, int64_t rest) { return x(p, rest); }
  static __m512 add(__m512 acc, Vector a, Vector b) { return _mm512_dpbf16_ps(acc, a, b); }
};

/// The sums of four vectors.
[[gnu::always_inline]] inline __m128 sum4(__m512 a, __m512 b, __m512 c, __m512 d) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)),
               cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  const __m512d lo = _mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd)),
                hi = _mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
  const __m512 abcd = _mm512_add_ps(_mm512_castpd_ps(lo), _mm512_castpd_ps(hi));
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(abcd), _mm512_extractf32x8_ps(abcd, 1));
  return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

/// `tokens` x `rows` outputs. Rows past the matrix repeat its last one and are not stored.
template <class Type, int tokens, int rows>
void multiply_tile(const DenseCall& call, int64_t first_token, int64_t first_row) {
  const int64_t live = call.n - first_row < rows ? call.n - first_row : rows;
  const std::byte *x[tokens], *w[rows];
  __m512 acc[tokens * rows];
#pragma GCC unroll 8
  for (int t = 0; t < tokens; t++) x[t] = call.x + call.x_rows[first_token + t] * call.x_stride;
#pragma GCC unroll 8
  for (int r = 0; r < rows; r++) w[r] = call.w + (first_row + (r < live ? r : live - 1)) * call.w_stride;
#pragma GCC unroll 32
  for (int i = 0; i < tokens * rows; i++) acc[i] = _mm512_setzero_ps();
  const auto step = [&](auto... rest) __attribute__((always_inline)) {
    typename Type::Vector xs[tokens];
#pragma GCC unroll 8
    for (int t = 0; t < tokens; t++) xs[t] = Type::x(x[t], rest...);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
      const typename Type::Vector ws = Type::w(w[r], rest...);
#pragma GCC unroll 8
      for (int t = 0; t < tokens; t++) acc[t * rows + r] = Type::add(acc[t * rows + r], ws, xs[t]);
    }
  };
  int64_t i = 0;
  for (; i + Type::lanes <= call.k; i += Type::lanes) {
    step();
#pragma GCC unroll 8
    for (int t = 0; t < tokens; t++) x[t] += Type::lanes * Type::x_bytes;
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) w[r] += Type::lanes * Type::w_bytes;
  }
  if (i < call.k) step(call.k - i);
  alignas(16) float sums[(tokens * rows + 3) / 4 * 4];
#pragma GCC unroll 8
  for (int s = 0; s < tokens * rows; s += 4) {
    const auto at = [&](int e) { return acc[s + e < tokens * rows ? s + e : s]; };
    _mm_store_ps(sums + s, sum4(at(0), at(1), at(2), at(3)));
  }
  for (int t = 0; t < tokens; t++) {
    float* c = call.c + call.c_rows[first_token + t] * call.c_stride + first_row;
    for (int64_t r = 0; r < live; r++) c[r] = call.accumulate ? c[r] + sums[t * rows + r] : sums[t * rows + r];
  }
}

/// One row after the other: a single stream through the weights, read once for all (few) tokens. Loads may cross cache lines (tensors in
/// files are aligned to 8 bytes): a separate head of each row that prevents it was measured to cost 5 to 20 % of one core's speed.
template <class Type, int tokens>
void stream_rows(const DenseCall& call) {
  constexpr int unroll = 2;
  constexpr int64_t step = unroll * Type::lanes;
  const std::byte* x[tokens];
  for (int t = 0; t < tokens; t++) x[t] = call.x + call.x_rows[t] * call.x_stride;
  for (int64_t r = 0; r < call.n; r++) {
    const std::byte* w = call.w + r * call.w_stride;
    __m512 acc[tokens][unroll];
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++)
#pragma GCC unroll 8
      for (int u = 0; u < unroll; u++) acc[t][u] = _mm512_setzero_ps();
    const auto add_part = [&](int64_t from, int64_t count) __attribute__((always_inline)) {
#pragma GCC unroll 4
      for (int t = 0; t < tokens; t++)
        acc[t][0] = Type::add(acc[t][0], Type::w(w + from * Type::w_bytes, count), Type::x(x[t] + from * Type::x_bytes, count));
    };
    int64_t i = 0;
    if (i > 0) add_part(0, i);
    for (; i + step <= call.k; i += step) {
#pragma GCC unroll 8
      for (int u = 0; u < unroll; u++) {
        const typename Type::Vector ws = Type::w(w + (i + u * Type::lanes) * Type::w_bytes);
#pragma GCC unroll 4
        for (int t = 0; t < tokens; t++) acc[t][u] = Type::add(acc[t][u], ws, Type::x(x[t] + (i + u * Type::lanes) * Type::x_bytes));
      }
    }
    for (; i + Type::lanes <= call.k; i += Type::lanes)
#pragma GCC unroll 4
      for (int t = 0; t < tokens; t++) acc[t][0] = Type::add(acc[t][0], Type::w(w + i * Type::w_bytes), Type::x(x[t] + i * Type::x_bytes));
    if (i < call.k) add_part(i, call.k - i);
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++) {
#pragma GCC unroll 8
      for (int u = 1; u < unroll; u++) acc[t][0] = _mm512_add_ps(acc[t][0], acc[t][u]);
      float& c = call.c[call.c_rows[t] * call.c_stride + r];
      const float sum = _mm512_reduce_add_ps(acc[t][0]);
      c = call.accumulate ? c + sum : sum;
    }
  }
}

template <class Type>
void multiply(const DenseCall& call) {
  switch (call.m) {
    case 1: return stream_rows<Type, 1>(call);
    case 2: return stream_rows<Type, 2>(call);
    case 3: return stream_rows<Type, 3>(call);
    case 4: return stream_rows<Type, 4>(call);
    default: break;
  }
  int64_t t = 0;
  for (; t + 4 <= call.m; t += 4)
    for (int64_t r = 0; r < call.n; r += 6) multiply_tile<Type, 4, 6>(call, t, r);
  for (; t + 2 <= call.m; t += 2)
    for (int64_t r = 0; r < call.n; r += 8) multiply_tile<Type, 2, 8>(call, t, r);
  if (t < call.m)
    for (int64_t r = 0; r < call.n; r += 8) multiply_tile<Type, 1, 8>(call, t, r);
}

}  // namespace

void dense_f32_avx512(const DenseCall& call) { call.m > in_place_tokens ? panel_f32_avx512(call) : multiply<F32Weights>(call); }
void dense_bf16_bf16_avx512(const DenseCall& call) { call.m > in_place_tokens ? panel_bf16_bf16_avx512(call) : multiply<BF16Pairs>(call); }

// One or two tokens: measured from memory, widening 8 halves at a time reads 22-24 GB/s a core, 16 at a time 12-15.
void dense_f16_avx512(const DenseCall& call) {
  call.m <= 2 ? dense_f16_avx2(call) : call.m > in_place_tokens ? panel_f16_avx512(call) : multiply<F16Weights>(call);
}
void dense_bf16_avx512(const DenseCall& call) {
  call.m <= 2 ? dense_bf16_avx2(call) : call.m > in_place_tokens ? panel_bf16_avx512(call) : multiply<BF16Weights>(call);
}

}  // namespace infernum
