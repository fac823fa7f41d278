// Dense weights: both operands run along k, sums stay in 16 lanes until the end of a chunk, in the order of gemm.h for any number of
// tokens. Few tokens take the weights as they lie in the file. Floor: weight bytes / memory bandwidth. More share them in tiles of 4 tokens
// x 6 rows. Floor: one vector multiply-add a cycle, 16 products (32 with vdpbf16ps).
#include "ops/cpu/gemm_avx512.h"

namespace infernum {
namespace {

constexpr int64_t worth_copying = 32;  // tokens

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

/// The quarters of two vectors that `low` and `high` choose, added.
template <int low, int high>
[[gnu::always_inline]] inline __m512 add_quarters(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, low), _mm512_shuffle_f32x4(a, b, high));
}
[[gnu::always_inline]] inline __m512 add_pairs(__m512 a, __m512 b) {
  const __m512d x = _mm512_castps_pd(a), y = _mm512_castps_pd(b);
  return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
}
[[gnu::always_inline]] inline __m512 add_singles(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd));
}

/// Lane i = the lanes of v[i], i = 0 .. 7 or 0 .. 15, added in the order of gemm.h: those 8 apart, 4, 2, 1.
template <int n>
[[gnu::always_inline]] inline __m512 sums_of(const __m512* v) {
  constexpr int step = n / 4;
  __m512 four[step];  // lanes 0 .. 3 of vectors j, step + j, 2 step + j, 3 step + j
#pragma GCC unroll 4
  for (int j = 0; j < step; j++)
    four[j] =
        add_quarters<0x88, 0xdd>(add_quarters<0x44, 0xee>(v[j], v[step + j]), add_quarters<0x44, 0xee>(v[2 * step + j], v[3 * step + j]));
  const __m512 first = add_pairs(four[0], four[1]);
  if constexpr (n == 16) return add_singles(first, add_pairs(four[2], four[3]));
  return _mm512_maskz_compress_ps(0x3333, add_singles(first, first));
}

/// The same for one vector.
[[gnu::always_inline]] inline float sum_lanes(__m256 eight) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
[[gnu::always_inline]] inline float sum_lanes(__m512 v) {
  return sum_lanes(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1)));
}

/// `tokens` x `rows` outputs. Rows past the matrix repeat its last one and are not stored.
template <class Type, int tokens, int rows>
void multiply_tile(const DenseCall& call, int64_t first_token, int64_t first_row) {
  constexpr int outputs = tokens * rows;
  static_assert(outputs % 8 == 0 && outputs <= 24 && rows <= 8);
  constexpr int64_t chunk = chunk_vectors * Type::lanes;
  const int64_t live = call.n - first_row < rows ? call.n - first_row : rows;
  const std::byte *x[tokens], *w[rows];
#pragma GCC unroll 8
  for (int t = 0; t < tokens; t++) x[t] = call.x + call.x_rows[first_token + t] * call.x_stride;
#pragma GCC unroll 8
  for (int r = 0; r < rows; r++) w[r] = call.w + (first_row + (r < live ? r : live - 1)) * call.w_stride;
  for (int64_t k0 = 0; k0 == 0 || k0 < call.k; k0 += chunk) {
    const int64_t k = call.k - k0 < chunk ? call.k - k0 : chunk;
    __m512 acc[outputs];
#pragma GCC unroll 32
    for (int i = 0; i < outputs; i++) acc[i] = _mm512_setzero_ps();
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
    for (; i + Type::lanes <= k; i += Type::lanes) {
      step();
#pragma GCC unroll 8
      for (int t = 0; t < tokens; t++) x[t] += Type::lanes * Type::x_bytes;
#pragma GCC unroll 8
      for (int r = 0; r < rows; r++) w[r] += Type::lanes * Type::w_bytes;
    }
    if (i < k) step(k - i);
    __m512 low, high = _mm512_setzero_ps();
    if constexpr (outputs >= 16) low = sums_of<16>(acc);
    if constexpr (outputs % 16) (outputs > 16 ? high : low) = sums_of<8>(acc + outputs / 16 * 16);
    const bool add = call.accumulate || k0 > 0;
    const auto mask = static_cast<__mmask8>((1u << live) - 1);
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++) {
      float* c = call.c + call.c_rows[first_token + t] * call.c_stride + first_row;
      const __m512i at = _mm512_add_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0), _mm512_set1_epi32(t * rows));
      const __m256 sums = _mm512_castps512_ps256(_mm512_permutex2var_ps(low, at, high));
      _mm256_mask_storeu_ps(c, mask, _mm256_add_ps(add ? _mm256_maskz_loadu_ps(mask, c) : _mm256_setzero_ps(), sums));
    }
  }
}

/// How stream_rows() takes 16 lanes at a time: as one vector, or as two halves.
template <class Type>
struct Whole : Type {
  static constexpr bool prefetch = false;
  using Sums = __m512;
  static void add_to(Sums& acc, typename Type::Vector w, const std::byte* x, auto... rest) { acc = Type::add(acc, w, Type::x(x, rest...)); }
  static float sum(Sums v) { return sum_lanes(v); }
};

struct F16Eight {
  static __m256 wide(__m128i h) { return _mm256_cvtph_ps(h); }
};
struct BF16Eight {
  static __m256 wide(__m128i h) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16)); }
};
/// Measured from memory, one token: widening 8 halves at a time reads 22-24 GB/s a core, 16 at a time 12-15.
template <class Eight>
struct Halves {
  static constexpr int64_t lanes = 16, x_bytes = 4, w_bytes = 2;
  static constexpr bool prefetch = true;
  struct Sums {
    __m256 low, high;
  };
  static Sums w(const std::byte* p) {
    return {Eight::wide(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
            Eight::wide(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16)))};
  }
  static Sums w(const std::byte* p, int64_t rest) {
    const __m256i h = load_part(p, rest);
    return {Eight::wide(_mm256_castsi256_si128(h)), Eight::wide(_mm256_extracti128_si256(h, 1))};
  }
  static Sums x(const std::byte* p) {
    return {_mm256_loadu_ps(reinterpret_cast<const float*>(p)), _mm256_loadu_ps(reinterpret_cast<const float*>(p + 32))};
  }
  static Sums x(const std::byte* p, int64_t rest) {
    const __m512 v = F32Weights::x(p, rest);
    return {_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1)};
  }
  static void add_to(Sums& acc, const Sums& ws, const std::byte* p, auto... rest) {
    const Sums xs = x(p, rest...);
    acc.low = _mm256_fmadd_ps(ws.low, xs.low, acc.low);
    acc.high = _mm256_fmadd_ps(ws.high, xs.high, acc.high);
  }
  static float sum(const Sums& v) { return sum_lanes(_mm256_add_ps(v.low, v.high)); }
};

/// One row after the other: weights are read once, in order, for all (few) tokens. Loads may cross cache lines (tensors in files are
/// aligned to 8 bytes): a separate head of each row that prevents it was measured to cost 5 to 20 % of one core's speed.
template <class Type, int tokens>
void stream_rows(const DenseCall& call) {
  constexpr int64_t L = Type::lanes, chunk = chunk_vectors * L;
  const std::byte* x[tokens];
  for (int t = 0; t < tokens; t++) x[t] = call.x + call.x_rows[t] * call.x_stride;
  for (int64_t r = 0; r < call.n; r++) {
    const std::byte* w = call.w + r * call.w_stride;
    float total[tokens] = {};
    for (int t = 0; call.accumulate && t < tokens; t++) total[t] = call.c[call.c_rows[t] * call.c_stride + r];
    for (int64_t k0 = 0; k0 < call.k; k0 += chunk) {
      const int64_t end = call.k - k0 < chunk ? call.k : k0 + chunk;
      typename Type::Sums acc[tokens] = {};
      const auto add = [&](int64_t i, auto... rest) __attribute__((always_inline)) {
        const auto ws = Type::w(w + i * Type::w_bytes, rest...);
#pragma GCC unroll 4
        for (int t = 0; t < tokens; t++) Type::add_to(acc[t], ws, x[t] + i * Type::x_bytes, rest...);
      };
      int64_t i = k0;
      for (; i + 2 * L <= end; i += 2 * L) {
        if constexpr (Type::prefetch) _mm_prefetch(reinterpret_cast<const char*>(w + i * Type::w_bytes + 2048), _MM_HINT_T0);
        add(i);
        add(i + L);
      }
      for (; i + L <= end; i += L) add(i);
      if (i < end) add(i, end - i);
#pragma GCC unroll 4
      for (int t = 0; t < tokens; t++) total[t] += Type::sum(acc[t]);
    }
    for (int t = 0; t < tokens; t++) call.c[call.c_rows[t] * call.c_stride + r] = total[t];
  }
}

template <class Type, int tokens, int rows>
void multiply_rows(const DenseCall& call, int64_t first_token) {
  for (int64_t r = 0; r < call.n; r += rows) multiply_tile<Type, tokens, rows>(call, first_token, r);
}

void prefetch(const std::byte* p, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) _mm_prefetch(reinterpret_cast<const char*>(p + i), _MM_HINT_T0);
}

template <class Type>
void multiply_tiles(const DenseCall& call) {
  const int64_t x_bytes = (call.k < chunk_vectors * Type::lanes ? call.k : chunk_vectors * Type::lanes) * Type::x_bytes;
  int64_t t = 0;
  for (; t + 4 <= call.m; t += 4) {
    for (int64_t next = t + 4; next < t + 8 && next < call.m; next++) prefetch(call.x + call.x_rows[next] * call.x_stride, x_bytes);
    multiply_rows<Type, 4, 6>(call, t);
  }
  switch (call.m - t) {
    case 3: return multiply_rows<Type, 3, 8>(call, t);
    case 2: return multiply_rows<Type, 2, 8>(call, t);
    case 1: return multiply_rows<Type, 1, 8>(call, t);
    default: return;
  }
}

/// Many tokens: a chunk of some rows is copied together first, because rows as they lie in the file fight for cache sets.
template <class Type>
void multiply_copies(const DenseCall& call) {
  constexpr int64_t chunk = chunk_vectors * Type::lanes, stride = chunk * Type::w_bytes + 64;
  constexpr int64_t rows = dense_workspace_bytes / stride / 24 * 24;  // whole tiles
  for (int64_t row = 0; row < call.n; row += rows)
    for (int64_t k0 = 0; k0 < call.k; k0 += chunk) {
      DenseCall part = call;
      part.n = call.n - row < rows ? call.n - row : rows;
      part.k = call.k - k0 < chunk ? call.k - k0 : chunk;
      for (int64_t r = 0; r < part.n; r++) {
        const std::byte* from = call.w + (row + r) * call.w_stride + k0 * Type::w_bytes;
        if (r + 2 < part.n) prefetch(from + 2 * call.w_stride, part.k * Type::w_bytes);
        __builtin_memcpy(call.workspace + r * stride, from, static_cast<size_t>(part.k * Type::w_bytes));
      }
      part.x += k0 * Type::x_bytes;
      part.w = call.workspace;
      part.w_stride = stride;
      part.c += row;
      part.accumulate = call.accumulate || k0 > 0;
      multiply_tiles<Type>(part);
    }
}

template <class Type, class Stream = Whole<Type>>
void multiply(const DenseCall& call) {
  switch (call.m) {
    case 1: return stream_rows<Stream, 1>(call);
    case 2: return stream_rows<Stream, 2>(call);
    case 3: return stream_rows<Whole<Type>, 3>(call);
    case 4: return stream_rows<Whole<Type>, 4>(call);
    default: return call.m < worth_copying || call.k == 0 ? multiply_tiles<Type>(call) : multiply_copies<Type>(call);
  }
}

}  // namespace

void dense_f32_avx512(const DenseCall& call) { multiply<F32Weights>(call); }
void dense_f16_avx512(const DenseCall& call) { multiply<F16Weights, Halves<F16Eight>>(call); }
void dense_bf16_avx512(const DenseCall& call) { multiply<BF16Weights, Halves<BF16Eight>>(call); }
void dense_bf16_bf16_avx512(const DenseCall& call) { multiply<BF16Pairs>(call); }

}  // namespace infernum
