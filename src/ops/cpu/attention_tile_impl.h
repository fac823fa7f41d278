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
inline void score_rows(float* s, const float* q, const T* kt, int64_t head_dim) {
  Vec acc[N][C] = {};
  int64_t d = 0;
  for (; d + C <= head_dim; d += C)
    for (int c = 0; c < C; c++) {
      const Vec k = load(kt + (d + c) * lanes);
      for (int n = 0; n < N; n++) acc[n][c] += q[n * head_dim + d + c] * k;
    }
  for (; d < head_dim; d++) {
    const Vec k = load(kt + d * lanes);
    for (int n = 0; n < N; n++) acc[n][0] += q[n * head_dim + d] * k;
  }
  for (int n = 0; n < N; n++) {
    Vec total = acc[n][0];
    for (int c = 1; c < C; c++) total += acc[n][c];
    store(s + n * tile_keys, total);
  }
}

/// out (N rows, W * 16 columns) += p (N, keys) * v (keys, D) over one block.
template <int N, int W, class T>
inline void add_values(float* out, const float* p, const T* v, int64_t keys, int64_t head_dim) {
  Vec acc[N][W];
  for (int n = 0; n < N; n++)
    for (int w = 0; w < W; w++) acc[n][w] = load(out + n * head_dim + w * lanes);
  for (int64_t j = 0; j < keys; j++)
    for (int w = 0; w < W; w++) {
      const Vec value = load(v + j * head_dim + w * lanes);
      for (int n = 0; n < N; n++) acc[n][w] += p[n * tile_keys + j] * value;
    }
  for (int n = 0; n < N; n++)
    for (int w = 0; w < W; w++) store(out + n * head_dim + w * lanes, acc[n][w]);
}

template <int N, class T>
inline void add_value_rows(float* out, const float* p, const T* v, int64_t keys, int64_t head_dim) {
  int64_t d = 0;
  for (; d + 4 * lanes <= head_dim; d += 4 * lanes) add_values<N, 4>(out + d, p, v + d, keys, head_dim);
  for (; d + lanes <= head_dim; d += lanes) add_values<N, 1>(out + d, p, v + d, keys, head_dim);
  for (; d < head_dim; d++)
    for (int n = 0; n < N; n++)
      for (int64_t j = 0; j < keys; j++) out[n * head_dim + d] += p[n * tile_keys + j] * static_cast<float>(v[j * head_dim + d]);
}

inline Vec tanh(Vec x) { return 1.f - 2.f / (exp(x + x) + 1.f); }

/// Softcap, mask and exponentials of one row's chunk; updates the row's maximum and sum and returns the factor for what came before.
inline float softmax_row(const AttentionTile& t, int64_t row, float* s, int64_t first_key, int64_t keys, float& highest, float& total) {
  const int64_t position = t.position[row];
  const int64_t last_visible = position - first_key, first_visible = t.window > 0 ? position - t.window + 1 - first_key : 0;
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

template <class T>
void attend(const AttentionTile& t) {
  const int64_t D = t.head_dim;
  float *s = t.scratch, *highest = s + t.rows * tile_keys, *total = highest + t.rows;
  std::fill_n(highest, t.rows, masked);
  std::fill_n(total, t.rows, 0.f);
  std::fill_n(t.out, t.rows * D, 0.f);
  const int64_t end = t.position[t.rows - 1] + 1;  // positions ascend within the tile
  const int64_t begin = t.window > 0 ? std::max<int64_t>(0, t.position[0] - t.window + 1) / lanes * lanes : 0;
  for (int64_t first = begin; first < end; first += tile_keys) {
    const int64_t keys = std::min(tile_keys, end - first), blocks = (keys + lanes - 1) / lanes;
    for (int64_t b = 0; b < blocks; b++) {
      const T* kt = static_cast<const T*>(t.k) + t.block_table[first / lanes + b] * t.block_stride;
      int64_t r = 0;
      for (; r + 8 <= t.rows; r += 8) score_rows<8, 1>(s + r * tile_keys + b * lanes, t.q + r * D, kt, D);
      for (; r + 4 <= t.rows; r += 4) score_rows<4, 2>(s + r * tile_keys + b * lanes, t.q + r * D, kt, D);
      for (; r + 2 <= t.rows; r += 2) score_rows<2, 4>(s + r * tile_keys + b * lanes, t.q + r * D, kt, D);
      for (; r < t.rows; r++) score_rows<1, 4>(s + r * tile_keys + b * lanes, t.q + r * D, kt, D);
    }
    for (int64_t r = 0; r < t.rows; r++) {
      const float factor = softmax_row(t, r, s + r * tile_keys, first, keys, highest[r], total[r]);
      if (factor != 1)
        for (int64_t d = 0; d < D; d++) t.out[r * D + d] *= factor;
    }
    for (int64_t b = 0; b < blocks; b++) {
      const T* v = static_cast<const T*>(t.v) + t.block_table[first / lanes + b] * t.block_stride;
      const int64_t here = std::min(lanes, keys - b * lanes);  // slots behind the last key may hold another request's NaN
      int64_t r = 0;
      for (; r + 4 <= t.rows; r += 4) add_value_rows<4>(t.out + r * D, s + r * tile_keys + b * lanes, v, here, D);
      for (; r + 2 <= t.rows; r += 2) add_value_rows<2>(t.out + r * D, s + r * tile_keys + b * lanes, v, here, D);
      for (; r < t.rows; r++) add_value_rows<1>(t.out + r * D, s + r * tile_keys + b * lanes, v, here, D);
    }
  }
  for (int64_t r = 0; r < t.rows; r++) {
    float sum_r = total[r], factor = 1;
    if (t.sinks) {  // a key without value: joins the sum only
      const float limit = std::max(highest[r], t.sinks[r]);
      factor = std::exp(highest[r] - limit);
      sum_r = sum_r * factor + std::exp(t.sinks[r] - limit);
    }
    for (int64_t d = 0; d < D; d++) t.out[r * D + d] *= factor / sum_r;
  }
}

AttendTile attend_tile_here(DType cache) {
  switch (cache) {
    case DType::F32: return attend<float>;
    case DType::F16: return attend<F16>;
    case DType::BF16: return attend<BF16>;
    default: fail("attention: the cache holds F32, F16 or BF16", cache);
  }
}

}  // namespace
}  // namespace infernum
