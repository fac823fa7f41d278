// What the attention tiles of either key layout share: the product of weights and values, and the soft cap.
#pragma once
#include <algorithm>
#include <array>

#include "ops/cpu/attention.h"
#include "ops/cpu/vec.h"

namespace infernum {
namespace {

constexpr float masked = -1e30f;  // finite, so that a chunk without visible keys stays free of NaN and is wiped by the next rescaling

/// The first `count` of 16 numbers, zero behind them.
template <class T>
inline Vec load_part(const T* p, int64_t count) {
  T part[lanes] = {};
  std::memcpy(part, p, static_cast<size_t>(count) * sizeof(T));
  return load(part);
}

/// The values of a chunk's keys.
template <class T>
struct ValueRows {
  std::array<const T*, tile_keys> row;
  int64_t count;
};

/// Where the weight of a row and a key lies.
template <int row, int key>
struct WeightSteps {
  static constexpr int of_row = row, of_key = key;
};

/// out (N rows, W * 16 columns, or the last `columns` of them where W is 0) += p (N, keys) * v (keys, D) over one block; rows of v lie
/// `stride` apart.
template <class Steps, int N, int W, class T>
inline void add_values(float* out, const float* p, const T* v, int64_t keys, int64_t value_dim, int64_t stride, int64_t columns = 0) {
  constexpr int vectors = std::max(W, 1);
  Vec acc[N][vectors];
  for (int n = 0; n < N; n++)
    for (int w = 0; w < vectors; w++) acc[n][w] = W ? load(out + n * value_dim + w * lanes) : load_part(out + n * value_dim, columns);
  for (int64_t j = 0; j < keys; j++)
    for (int w = 0; w < vectors; w++) {
      const Vec value = W ? load(v + j * stride + w * lanes) : load_part(v + j * stride, columns);
      for (int n = 0; n < N; n++) acc[n][w] += p[n * Steps::of_row + j * Steps::of_key] * value;
    }
  for (int n = 0; n < N; n++)
    for (int w = 0; w < vectors; w++)
      if (W)
        store(out + n * value_dim + w * lanes, acc[n][w]);
      else
        std::memcpy(out + n * value_dim, &acc[n][w], static_cast<size_t>(columns) * sizeof(float));
}

template <class Steps, int N, class T>
inline void add_value_rows(float* out, const float* p, const T* v, int64_t keys, int64_t value_dim, int64_t stride) {
  int64_t d = 0;
  for (; d + 4 * lanes <= value_dim; d += 4 * lanes) add_values<Steps, N, 4>(out + d, p, v + d, keys, value_dim, stride);
  for (; d + lanes <= value_dim; d += lanes) add_values<Steps, N, 1>(out + d, p, v + d, keys, value_dim, stride);
  if (d < value_dim) add_values<Steps, N, 0>(out + d, p, v + d, keys, value_dim, stride, value_dim - d);
}

/// out (rows, value_dim) += p * v over one block.
template <class Steps, class T>
void add_block(float* out, int64_t rows, const float* p, const T* v, int64_t keys, int64_t value_dim, int64_t stride) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) add_value_rows<Steps, 4>(out + r * value_dim, p + r * Steps::of_row, v, keys, value_dim, stride);
  for (; r + 2 <= rows; r += 2) add_value_rows<Steps, 2>(out + r * value_dim, p + r * Steps::of_row, v, keys, value_dim, stride);
  for (; r < rows; r++) add_value_rows<Steps, 1>(out + r * value_dim, p + r * Steps::of_row, v, keys, value_dim, stride);
}

/// What came before a chunk, brought to the new maximum; a factor of zero wipes even NaN.
inline void rescale(float* row, float factor, int64_t n) {
  if (factor == 0)
    std::memset(row, 0, static_cast<size_t>(n) * sizeof(float));
  else if (factor != 1)
    for (int64_t i = 0; i < n; i++) row[i] *= factor;
}

inline Vec tanh(Vec x) { return 1.f - 2.f / (exp(x + x) + 1.f); }

}  // namespace
}  // namespace infernum
