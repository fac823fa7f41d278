// attend_tile(), included by one file per instruction set. Scores: 16 keys per vector, a broadcast multiply-add per component.
// Bound by FLOPs for many rows; for one token by the bytes of K and V, which are read once for all query heads of the group.
#pragma once
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "ops/cpu/attention.h"
#include "ops/cpu/vec.h"

namespace infernum {
namespace {

constexpr float masked = -1e30f;  // finite, so that a chunk without visible keys stays free of NaN and is wiped by the next rescaling

/// s (N rows, stride tile_keys) = q (N, D) * kt (D, 16). C independent sums per row hide the latency of the additions when rows are few.
template <int N, int C, class T>
inline void score_rows(float* s, const float* q, const T* kt, int64_t key_dim) {
  Vec acc[N][C] = {};
  int64_t d = 0;
  for (; d + C <= key_dim; d += C)
    for (int c = 0; c < C; c++) {
      const Vec k = load(kt + (d + c) * lanes);
      for (int n = 0; n < N; n++) acc[n][c] += q[n * key_dim + d + c] * k;
    }
  for (; d < key_dim; d++) {
    const Vec k = load(kt + d * lanes);
    for (int n = 0; n < N; n++) acc[n][0] += q[n * key_dim + d] * k;
  }
  for (int n = 0; n < N; n++) {
    Vec total = acc[n][0];
    for (int c = 1; c < C; c++) total += acc[n][c];
    store(s + n * tile_keys, total);
  }
}

/// out (N rows, W * 16 columns) += p (N, keys) * v (keys, D) over one block; rows of v lie `stride` apart.
template <int N, int W, class T>
inline void add_values(float* out, const float* p, const T* v, int64_t keys, int64_t value_dim, int64_t stride) {
  Vec acc[N][W];
  for (int n = 0; n < N; n++)
    for (int w = 0; w < W; w++) acc[n][w] = load(out + n * value_dim + w * lanes);
  for (int64_t j = 0; j < keys; j++)
    for (int w = 0; w < W; w++) {
      const Vec value = load(v + j * stride + w * lanes);
      for (int n = 0; n < N; n++) acc[n][w] += p[n * tile_keys + j] * value;
    }
  for (int n = 0; n < N; n++)
    for (int w = 0; w < W; w++) store(out + n * value_dim + w * lanes, acc[n][w]);
}

template <int N, class T>
inline void add_value_rows(float* out, const float* p, const T* v, int64_t keys, int64_t value_dim, int64_t stride) {
  int64_t d = 0;
  for (; d + 4 * lanes <= value_dim; d += 4 * lanes) add_values<N, 4>(out + d, p, v + d, keys, value_dim, stride);
  for (; d + lanes <= value_dim; d += lanes) add_values<N, 1>(out + d, p, v + d, keys, value_dim, stride);
  for (; d < value_dim; d++)
    for (int n = 0; n < N; n++)
      for (int64_t j = 0; j < keys; j++) out[n * value_dim + d] += p[n * tile_keys + j] * static_cast<float>(v[j * stride + d]);
}

inline Vec tanh(Vec x) { return 1.f - 2.f / (exp(x + x) + 1.f); }

/// Softcap, mask and exponentials of one row's chunk; updates the row's maximum and sum and returns the factor for what came before.
inline float softmax_row(const AttentionTile& t, int64_t row, float* s, int64_t first_key, int64_t keys, float& highest, float& total) {
  const int64_t last_visible = t.position[row] - first_key, first_visible = t.oldest[row] - first_key;
  VecI lane;
  for (int i = 0; i < lanes; i++) lane[i] = i;
  const int64_t vectors = (keys + lanes - 1) / lanes;
  Vec top = splat(masked);
  for (int64_t i = 0; i < vectors; i++) {
    Vec x = load(s + i * lanes);
    if (t.softcap > 0) x = t.softcap * tanh(x * (1 / t.softcap));
    const auto last = static_cast<int32_t>(std::clamp<int64_t>(last_visible - i * lanes, -1, lanes));
    const auto first = static_cast<int32_t>(std::clamp<int64_t>(first_visible - i * lanes, 0, lanes));
    const VecI hidden = (lane > last) | (lane < first);
    x = hidden ? splat(masked) : x;
    top = x > top ? x : top;
    store(s + i * lanes, x);
  }
  float tops[lanes], limit = highest;
  store(tops, top);
  for (float m : tops) limit = std::max(limit, m);
  Vec sums{};
  for (int64_t i = 0; i < vectors; i++) {
    const Vec p = exp(load(s + i * lanes) - limit);
    store(s + i * lanes, p);
    sums += p;
  }
  const float factor = std::exp(highest - limit);
  total = total * factor + sum(sums);
  highest = limit;
  return factor;
}

/// kt (key_dim, 16) = the 16 rows of a block, `stride` apart, transposed.
template <class T>
void transpose_keys(float* kt, const T* rows, int64_t key_dim, int64_t stride) {
  int64_t d = 0;
  for (; d + lanes <= key_dim; d += lanes) {
    Vec m[lanes];
    for (int64_t i = 0; i < lanes; i++) m[i] = load(rows + i * stride + d);
    transpose(m);
    for (int64_t i = 0; i < lanes; i++) store(kt + (d + i) * lanes, m[i]);
  }
  for (; d < key_dim; d++)
    for (int64_t i = 0; i < lanes; i++) kt[d * lanes + i] = static_cast<float>(rows[i * stride + d]);
}

/// s (rows, stride tile_keys) = q * kt for all rows of the tile.
template <class T>
void score_block(const AttentionTile& t, float* s, const T* kt) {
  const int64_t D = t.key_dim;
  int64_t r = 0;
  for (; r + 8 <= t.rows; r += 8) score_rows<8, 1>(s + r * tile_keys, t.q + r * D, kt, D);
  for (; r + 4 <= t.rows; r += 4) score_rows<4, 2>(s + r * tile_keys, t.q + r * D, kt, D);
  for (; r + 2 <= t.rows; r += 2) score_rows<2, 4>(s + r * tile_keys, t.q + r * D, kt, D);
  for (; r < t.rows; r++) score_rows<1, 4>(s + r * tile_keys, t.q + r * D, kt, D);
}

template <class T>
void add_block(const AttentionTile& t, const float* p, const T* v, int64_t keys) {
  const int64_t D = t.value_dim;
  int64_t r = 0;
  for (; r + 4 <= t.rows; r += 4) add_value_rows<4>(t.out + r * D, p + r * tile_keys, v, keys, D, t.value_stride);
  for (; r + 2 <= t.rows; r += 2) add_value_rows<2>(t.out + r * D, p + r * tile_keys, v, keys, D, t.value_stride);
  for (; r < t.rows; r++) add_value_rows<1>(t.out + r * D, p + r * tile_keys, v, keys, D, t.value_stride);
}

template <class T, KeyLayout layout>
void attend(const AttentionTile& t) {
  float *s = t.scratch, *kt = s + t.rows * tile_keys;
  std::fill_n(t.highest, t.rows, masked);
  std::fill_n(t.total, t.rows, 0.f);
  std::fill_n(t.out, t.rows * t.value_dim, 0.f);
  for (int64_t first = t.first_key; first < t.end_key; first += tile_keys) {
    const int64_t keys = std::min(tile_keys, t.end_key - first), blocks = (keys + lanes - 1) / lanes;
    const int32_t* block = t.block_table + first / lanes;
    for (int64_t b = 0; b < blocks; b++) {
      const T* k = static_cast<const T*>(t.k) + block[b] * t.block_stride;
      if constexpr (layout == KeyLayout::Components) {
        score_block(t, s + b * lanes, k);
      } else {
        transpose_keys(kt, k, t.key_dim, t.value_stride);
        score_block(t, s + b * lanes, kt);
      }
    }
    for (int64_t r = 0; r < t.rows; r++) {
      const float factor = softmax_row(t, r, s + r * tile_keys, first, keys, t.highest[r], t.total[r]);
      if (factor != 1)
        for (int64_t d = 0; d < t.value_dim; d++) t.out[r * t.value_dim + d] *= factor;
    }
    for (int64_t b = 0; b < blocks; b++)  // slots behind the last key may hold another request's NaN
      add_block(t, s + b * lanes, static_cast<const T*>(t.v) + block[b] * t.block_stride, std::min(lanes, keys - b * lanes));
  }
}

template <class T>
AttendTile attend_tile_of(KeyLayout keys) {
  return keys == KeyLayout::Components ? attend<T, KeyLayout::Components> : attend<T, KeyLayout::Rows>;
}

AttendTile attend_tile_here(DType cache, KeyLayout keys) {
  switch (cache) {
    case DType::F32: return attend_tile_of<float>(keys);
    case DType::F16: return attend_tile_of<F16>(keys);
    case DType::BF16: return attend_tile_of<BF16>(keys);
    default: fail("attention: the cache holds F32, F16 or BF16", cache);
  }
}

}  // namespace
}  // namespace infernum
