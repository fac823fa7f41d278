// Many tokens times dense weights. 192 rows x 512 lanes of weights become a panel in L2 (widened, lanes of 16 rows side by side), 12
// tokens a tile in L1; then 12 x 32 outputs stay in registers. A lane is 4 bytes: one f32 or two BF16. Strided rows in place would fight
// for cache sets. Floor: one vector multiply-add a cycle, 16 products (32 with vdpbf16ps).
#include "ops/cpu/gemm_avx512.h"

namespace infernum {
namespace {

// In numbers of 4 bytes. What is more than the data keeps tokens, and lanes, in different cache sets.
constexpr int64_t panel_rows = 192, panel_lanes = 16 * chunk_vectors, x_stride = panel_lanes + 16;
constexpr int64_t lane_stride = 32 * chunk_vectors + 32, group_stride = 16 * lane_stride;
constexpr int most_tokens = 12;
static_assert(4 * (panel_rows / 32 * group_stride + most_tokens * x_stride) <= dense_workspace_bytes);

__mmask16 first_lanes(int64_t count) { return static_cast<__mmask16>(count >= 16 ? 0xffff : (1u << count) - 1); }

/// How up to 16 lanes of a weight row are loaded, `values` a lane, and multiplied.
struct F32Lanes {
  static constexpr int64_t values = 1, w_bytes = 4;
  static __m512i load(const std::byte* p, int64_t count) { return _mm512_maskz_loadu_epi32(first_lanes(count), p); }
  static __m512 add(__m512 acc, __m512i w, __m512i x) { return _mm512_fmadd_ps(_mm512_castsi512_ps(w), _mm512_castsi512_ps(x), acc); }
};
struct F16Lanes : F32Lanes {
  static constexpr int64_t w_bytes = 2;
  static __m512i load(const std::byte* p, int64_t count) {
    return _mm512_castps_si512(_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(count), p)));
  }
};
struct BF16Lanes : F32Lanes {
  static constexpr int64_t w_bytes = 2;
  static __m512i load(const std::byte* p, int64_t count) {
    return _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first_lanes(count), p)), 16);
  }
};
__m512i load_pairs(const std::byte* p, int64_t count) {
  return _mm512_maskz_loadu_epi16(static_cast<__mmask32>(count >= 32 ? 0xffffffff : (1u << count) - 1), p);
}
struct PairLanes {
  static constexpr int64_t values = 2, w_bytes = 2;
  static __m512i load(const std::byte* p, int64_t count) { return load_pairs(p, count); }
  static __m512 add(__m512 acc, __m512i w, __m512i x) {
    return _mm512_dpbf16_ps(acc, reinterpret_cast<__m512bh>(w), reinterpret_cast<__m512bh>(x));
  }
};

/// 16 x 16 lanes, rows become columns: 4 x 4 within quarters, then the quarters.
void transpose(__m512i (&v)[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    const __m512i a = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88), b = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xdd);
    const __m512i c = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88), d = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xdd);
    t[i] = _mm512_shuffle_i32x4(a, c, 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(b, d, 0x88);
    t[i + 8] = _mm512_shuffle_i32x4(a, c, 0xdd);
    t[i + 12] = _mm512_shuffle_i32x4(b, d, 0xdd);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) v[i] = t[i];
}

/// panel[(g / 2, lane, vector, g % 2)] = one lane of the 16 rows of group g; rows past `rows` and values past `k` are zero.
template <class Lanes>
void fill_panel(const std::byte* w, int64_t w_stride, int64_t rows, int64_t k, int32_t* panel) {
  for (int64_t g = 0; 16 * g < rows; g++) {
    int32_t* to = panel + (g / 2) * group_stride + 16 * (g % 2);
    for (int64_t k0 = 0; k0 < k; k0 += 16 * Lanes::values, to += 32) {
      __m512i v[16];
#pragma GCC unroll 16
      for (int64_t r = 0; r < 16; r++) {
        const std::byte* from = w + (16 * g + r) * w_stride + k0 * Lanes::w_bytes;
        v[r] = 16 * g + r < rows ? Lanes::load(from, k - k0) : _mm512_setzero_si512();
      }
      transpose(v);
#pragma GCC unroll 16
      for (int l = 0; l < 16; l++) _mm512_store_si512(to + l * lane_stride, v[l]);
    }
  }
}

template <class Lanes, int tokens>
void copy_tokens(const DenseCall& call, int64_t first, int64_t k0, int64_t k, int32_t* to) {
  for (int t = 0; t < tokens; t++) {
    const std::byte* from = call.x + call.x_rows[first + t] * call.x_stride + k0 * (4 / Lanes::values);
    for (int64_t l = 0; l * Lanes::values < k; l += 16) {
      const int64_t left = k - l * Lanes::values;
      const __m512i v = Lanes::values == 2 ? load_pairs(from + 4 * l, left) : F32Lanes::load(from + 4 * l, left);
      _mm512_store_si512(to + t * x_stride + l, v);
    }
  }
}

/// The sums of a tile over one lane of a chunk, kept until those of the lanes they are added to are there.
template <int tokens>
using TileSums = float[tokens][2][16];

/// `tokens` x 32 outputs, added to c where `add`; `rows` of the 32 exist. An accumulator here is one lane of those of gemm.h, so lanes come
/// one after the other, in an order in which each sum of two waits for the next: 0 and 8, 4 and 12, those two, 2 and 10, ...
template <class Lanes, int tokens>
void multiply_tile(const int32_t* panel, const int32_t* x, int64_t vectors, const DenseCall& call, int64_t first, int64_t column,
                   int64_t rows, bool add) {
  alignas(64) TileSums<tokens> waiting[4];
  __m512 acc[tokens][2];
  for (int turn = 0; turn < 16; turn++) {
    const int lane = (turn & 1) << 3 | (turn & 2) << 1 | (turn & 4) >> 1 | turn >> 3;
    const int32_t *w = panel + lane * lane_stride, *value = x + lane;
#pragma GCC unroll 12
    for (int t = 0; t < tokens; t++) acc[t][0] = acc[t][1] = _mm512_setzero_ps();
    for (int64_t v = 0; v < vectors; v++, w += 32, value += 16) {
      const __m512i w0 = _mm512_load_si512(w), w1 = _mm512_load_si512(w + 16);
#pragma GCC unroll 12
      for (int t = 0; t < tokens; t++) {
        const __m512i all = _mm512_set1_epi32(value[t * x_stride]);
        acc[t][0] = Lanes::add(acc[t][0], w0, all);
        acc[t][1] = Lanes::add(acc[t][1], w1, all);
      }
    }
    int level = 0;
    for (; turn >> level & 1; level++)
#pragma GCC unroll 12
      for (int t = 0; t < tokens; t++) {
        acc[t][0] = _mm512_add_ps(acc[t][0], _mm512_load_ps(waiting[level][t][0]));
        acc[t][1] = _mm512_add_ps(acc[t][1], _mm512_load_ps(waiting[level][t][1]));
      }
    if (level < 4)
#pragma GCC unroll 12
      for (int t = 0; t < tokens; t++) {
        _mm512_store_ps(waiting[level][t][0], acc[t][0]);
        _mm512_store_ps(waiting[level][t][1], acc[t][1]);
      }
  }
  const __mmask16 low = first_lanes(rows), high = rows > 16 ? first_lanes(rows - 16) : __mmask16{0};
#pragma GCC unroll 12
  for (int t = 0; t < tokens; t++) {
    float* c = call.c + call.c_rows[first + t] * call.c_stride + column;
    const __m512 zero = _mm512_setzero_ps();
    _mm512_mask_storeu_ps(c, low, _mm512_add_ps(add ? _mm512_maskz_loadu_ps(low, c) : zero, acc[t][0]));
    _mm512_mask_storeu_ps(c + 16, high, _mm512_add_ps(add ? _mm512_maskz_loadu_ps(high, c + 16) : zero, acc[t][1]));
  }
}

/// Where a panel stands in the product.
struct Place {
  int64_t row, rows, k0, k;
};

template <class Lanes, int tokens>
void multiply_tokens(const DenseCall& call, const Place& at, const int32_t* panel, int32_t* x, int64_t first) {
  copy_tokens<Lanes, tokens>(call, first, at.k0, at.k, x);
  for (int64_t r = 0; r < at.rows; r += 32)
    multiply_tile<Lanes, tokens>(panel + r / 32 * group_stride, x, (at.k + 16 * Lanes::values - 1) / (16 * Lanes::values), call, first,
                                 at.row + r, at.rows - r, call.accumulate || at.k0 > 0);
}

template <class Lanes, int most>
void multiply_most(const DenseCall& call, const Place& at, const int32_t* panel, int32_t* x, int64_t first, int64_t tokens) {
  if (tokens == most) return multiply_tokens<Lanes, most>(call, at, panel, x, first);
  if constexpr (most > 1) multiply_most<Lanes, most - 1>(call, at, panel, x, first, tokens);
}

template <class Lanes>
void multiply(const DenseCall& call) {
  auto* panel = reinterpret_cast<int32_t*>(call.workspace);
  int32_t* x = panel + panel_rows / 32 * group_stride;
  for (int64_t row = 0; row < call.n; row += panel_rows)
    for (int64_t k0 = 0; k0 < call.k; k0 += panel_lanes * Lanes::values) {
      const Place at{row, call.n - row < panel_rows ? call.n - row : panel_rows, k0,
                     call.k - k0 < panel_lanes * Lanes::values ? call.k - k0 : panel_lanes * Lanes::values};
      fill_panel<Lanes>(call.w + row * call.w_stride + k0 * Lanes::w_bytes, call.w_stride, at.rows, at.k, panel);
      for (int64_t t = 0; t < call.m;) {
        const int64_t left = call.m - t, tiles = (left + most_tokens - 1) / most_tokens, tokens = (left + tiles - 1) / tiles;
        multiply_most<Lanes, most_tokens>(call, at, panel, x, t, tokens);
        t += tokens;
      }
    }
}

}  // namespace

void panel_f32_avx512(const DenseCall& call) { multiply<F32Lanes>(call); }
void panel_f16_avx512(const DenseCall& call) { multiply<F16Lanes>(call); }
void panel_bf16_avx512(const DenseCall& call) { multiply<BF16Lanes>(call); }
void panel_bf16_bf16_avx512(const DenseCall& call) { multiply<PairLanes>(call); }

}  // namespace infernum
