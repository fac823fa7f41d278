// attend_tile(), included by one file per instruction set; here for keys stored by components: 16 keys per vector, a broadcast multiply-add
// per component.
// Bound by FLOPs for many rows; for one token by the bytes of K and V, which are read once for all query heads of the group.
#pragma once
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "ops/cpu/attention_rows_tile.h"
#include "ops/cpu/attention_values.h"

namespace infernum {
namespace {

#if defined(__AVX512F__)
constexpr int most_rows = 8;  // whose sums stay in registers
#else
constexpr int most_rows = 4;
#endif

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
void attend_components(const AttentionTile& t) {
  float* s = t.scratch;
  std::fill_n(t.highest, t.rows, masked);
  std::fill_n(t.total, t.rows, 0.f);
  std::fill_n(t.out, t.rows * t.value_dim, 0.f);
  for (int64_t first = t.first_key, next; first < t.end_key; first = next) {
    next = std::min(t.end_key, first / tile_keys * tile_keys + tile_keys);
    const int64_t keys = next - first, blocks = (keys + lanes - 1) / lanes;
    const int32_t* block = t.block_table + first / lanes;
    for (int64_t b = 0; b < blocks; b++) score_block(t, s + b * lanes, static_cast<const T*>(t.k) + block[b] * t.block_stride);
    for (int64_t r = 0; r < t.rows; r++)
      rescale(t.out + r * t.value_dim, softmax_row(t, r, s + r * tile_keys, first, keys, t.highest[r], t.total[r]), t.value_dim);
    for (int64_t b = 0; b < blocks; b++)  // slots behind the last key may hold another request's NaN
      add_block<WeightSteps<tile_keys, 1>>(t.out, t.rows, s + b * lanes, static_cast<const T*>(t.v) + block[b] * t.block_stride,
                                           std::min(lanes, keys - b * lanes), t.value_dim, t.value_stride);
  }
}

template <class T>
AttendTile attend_tile_of(KeyLayout keys) {
  return keys == KeyLayout::Components ? attend_components<T> : attend_rows<T>;
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
