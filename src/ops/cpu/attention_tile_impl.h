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

#if defined(__AVX512F__)
constexpr int most_rows = 8;  // whose sums stay in registers
#else
constexpr int most_rows = 4;
#endif
constexpr float masked = -1e30f;  // finite, so that a chunk without visible keys stays free of NaN and is wiped by the next rescaling

/// s (N rows, stride tile_keys) = q (N, D) * kt (D, 16). Two sums per row, for even and odd components, hide the latency of the additions
/// when rows are few; it is two for any N, so that a score does not depend on the rows beside it.
template <int N, class T>
inline void score_rows(float* s, const float* q, const T* kt, int64_t key_dim) {
  Vec even[N] = {}, odd[N] = {};
  int64_t d = 0;
  for (; d + 2 <= key_dim; d += 2) {
    const Vec k0 = load(kt + d * lanes), k1 = load(kt + (d + 1) * lanes);
    for (int n = 0; n < N; n++) even[n] += q[n * key_dim + d] * k0;
    for (int n = 0; n < N; n++) odd[n] += q[n * key_dim + d + 1] * k1;
  }
  if (d < key_dim)
    for (int n = 0; n < N; n++) even[n] += q[n * key_dim + d] * load(kt + d * lanes);
  for (int n = 0; n < N; n++) store(s + n * tile_keys, even[n] + odd[n]);
}

/// The first `count` of 16 numbers, zero behind them.
template <class T>
inline Vec load_part(const T* p, int64_t count) {
  T part[lanes] = {};
  std::memcpy(part, p, static_cast<size_t>(count) * sizeof(T));
  return load(part);
}

/// out (N rows, W * 16 columns, or the last `columns` of them where W is 0) += p (N, keys) * v (keys, D) over one block; rows of v lie
/// `stride` apart.
template <int N, int W, class T>
inline void add_values(float* out, const float* p, const T* v, int64_t keys, int64_t value_dim, int64_t stride, int64_t columns = 0) {
  constexpr int vectors = W ? W : 1;
  Vec acc[N][vectors];
  for (int n = 0; n < N; n++)
    for (int w = 0; w < vectors; w++) acc[n][w] = W ? load(out + n * value_dim + w * lanes) : load_part(out + n * value_dim, columns);
  for (int64_t j = 0; j < keys; j++)
    for (int w = 0; w < vectors; w++) {
      const Vec value = W ? load(v + j * stride + w * lanes) : load_part(v + j * stride, columns);
      for (int n = 0; n < N; n++) acc[n][w] += p[n * tile_keys + j] * value;
    }
  for (int n = 0; n < N; n++)
    for (int w = 0; w < vectors; w++)
      if (W)
        store(out + n * value_dim + w * lanes, acc[n][w]);
      else
        std::memcpy(out + n * value_dim, &acc[n][w], static_cast<size_t>(columns) * sizeof(float));
}

template <int N, class T>
inline void add_value_rows(float* out, const float* p, const T* v, int64_t keys, int64_t value_dim, int64_t stride) {
  int64_t d = 0;
  for (; d + 4 * lanes <= value_dim; d += 4 * lanes) add_values<N, 4>(out + d, p, v + d, keys, value_dim, stride);
  for (; d + lanes <= value_dim; d += lanes) add_values<N, 1>(out + d, p, v + d, keys, value_dim, stride);
  if (d < value_dim) add_values<N, 0>(out + d, p, v + d, keys, value_dim, stride, value_dim - d);
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
  for (; r + most_rows <= t.rows; r += most_rows) score_rows<most_rows>(s + r * tile_keys, t.q + r * D, kt, D);
  if constexpr (most_rows > 4)
    for (; r + 4 <= t.rows; r += 4) score_rows<4>(s + r * tile_keys, t.q + r * D, kt, D);
  for (; r + 2 <= t.rows; r += 2) score_rows<2>(s + r * tile_keys, t.q + r * D, kt, D);
  for (; r < t.rows; r++) score_rows<1>(s + r * tile_keys, t.q + r * D, kt, D);
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
  for (int64_t first = t.first_key, next; first < t.end_key; first = next) {
    next = std::min(t.end_key, first / tile_keys * tile_keys + tile_keys);
    const int64_t keys = next - first, blocks = (keys + lanes - 1) / lanes;
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
      if (factor == 0)
        std::fill_n(t.out + r * t.value_dim, t.value_dim, 0.f);
      else if (factor != 1)
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
