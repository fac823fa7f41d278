// attend_tile() for keys that are stored as rows, included by one file per instruction set. A vector holds one component of 16 query rows:
// keys are read as they lie, once for all of them, and the softmax needs no sum across a vector. Bound by FLOPs from about 8 rows on.
// With a BF16 cache queries and weights are rounded to bfloat16 too; AVX-512 then multiplies pairs of them.
#pragma once
#include <algorithm>
#include <type_traits>

#include "ops/cpu/attention_values.h"

#if defined(__AVX512BF16__)
#include "ops/cpu/attention_pairs_avx512.h"
#endif

namespace infernum {
namespace {

/// How a component of queries is stored for products with keys in T, and a weight for those with values.
enum class Operand { Float, RoundedFloat, Pair };
#if defined(__AVX512BF16__)
template <class T>
constexpr Operand operand = std::is_same_v<T, BF16> ? Operand::Pair : Operand::Float;
#else
template <class T>
constexpr Operand operand = std::is_same_v<T, BF16> ? Operand::RoundedFloat : Operand::Float;
#endif

#if defined(__AVX512F__)
constexpr int keys_at_once = 8;  // whose sums stay in registers
#else
constexpr int keys_at_once = 4;
#endif

/// s (N keys, 16 rows) = k (N, key_dim) * q; qt (key_dim, 16). `ahead`: N keys in the cache that come later, `step` bytes per component.
template <int N>
inline void score_keys(float* s, const float* qt, const float* k, int64_t key_dim, const char* ahead, int64_t step) {
  Vec sum[N] = {};
  for (int64_t d = 0; d < key_dim; d++) {
    const Vec q = load(qt + d * lanes);
    __builtin_prefetch(ahead + d * step, 0, 2);
    for (int n = 0; n < N; n++) sum[n] += q * k[n * key_dim + d];
  }
  for (int n = 0; n < N; n++) store(s + n * lanes, sum[n]);
}

/// x (n, 16) as operands, in place.
template <class T>
void to_operands(float* x, int64_t n) {
  if constexpr (operand<T> == Operand::RoundedFloat)
    std::transform(x, x + n * lanes, x, [](float f) { return static_cast<float>(BF16(f)); });
#if defined(__AVX512BF16__)
  if constexpr (operand<T> == Operand::Pair) to_pairs(x, n);
#endif
}

/// xt (n, 16) = x (rows, n) transposed; zero for rows that are not there.
inline void transpose_rows(float* xt, const float* x, int64_t rows, int64_t n) {
  for (int64_t d = 0; d < n; d += lanes) {
    const int64_t part = std::min(lanes, n - d);
    Vec m[lanes] = {};
    for (int64_t r = 0; r < rows; r++) m[r] = part == lanes ? load(x + r * n + d) : load_part(x + r * n + d, part);
    transpose(m);
    for (int64_t i = 0; i < part; i++) store(xt + (d + i) * lanes, m[i]);
  }
}

/// 16 query rows of a tile, or the last ones.
template <class T>
class RowVector {
 public:
  RowVector(const AttentionTile& t, int64_t first)
      : t_(t),
        rows_(std::min(lanes, t.rows - first)),
        out_(t.out + first * t.value_dim),
        s_(t.scratch),
        qt_(s_ + tile_keys * lanes),
        wide_(qt_ + t.key_dim * lanes) {
    std::fill_n(out_, rows_ * t.value_dim, 0.f);
    transpose_rows(qt_, t.q + first * t.key_dim, rows_, t.key_dim);
    to_operands<T>(qt_, t.key_dim);
    for (int64_t i = 0; i < lanes; i++) {
      position_[i] = i < rows_ ? t.position[first + i] : -1;
      oldest_[i] = i < rows_ ? t.oldest[first + i] : 0;
    }
  }

  /// The `keys` keys in `block` and those behind, of `left` to come; `first_key` is the position of the first.
  void attend(const int32_t* block, int64_t first_key, int64_t keys, int64_t left) {
    const int64_t blocks = (keys + lanes - 1) / lanes, ahead = tile_keys / lanes, last = (left - 1) / lanes;
    for (int64_t b = 0; b < blocks; b++) score(s_ + b * lanes * lanes, key_block(block[b]), key_block(block[std::min(b + ahead, last)]));
    softmax(first_key, keys);
    // Slots behind the last key may hold another request's NaN.
    if constexpr (operand<T> == Operand::Pair) {
      ValueRows<T> v{{}, keys};
      for (int64_t j = 0; j < keys; j++) v.row[static_cast<size_t>(j)] = value_block(block[j / lanes]) + j % lanes * t_.value_stride;
      if (keys % 2) v.row[static_cast<size_t>(keys)] = v.row[static_cast<size_t>(keys - 1)];  // its weight is zero
      add_pairs(out_, rows_, s_, v, t_.value_dim);
    } else {
      for (int64_t b = 0; b < blocks; b++)
        add_block<WeightSteps<1, lanes>>(out_, rows_, s_ + b * lanes * lanes, value_block(block[b]), std::min(lanes, keys - b * lanes),
                                         t_.value_dim, t_.value_stride);
    }
  }

  void store_sums(float* highest, float* total) const {
    std::memcpy(highest, &highest_, static_cast<size_t>(rows_) * sizeof(float));
    std::memcpy(total, &total_, static_cast<size_t>(rows_) * sizeof(float));
  }

 private:
  const T* key_block(int32_t block) const { return static_cast<const T*>(t_.k) + block * t_.block_stride; }
  const T* value_block(int32_t block) const { return static_cast<const T*>(t_.v) + block * t_.block_stride; }

  /// The 16 keys at k. Those at `ahead` are fetched meanwhile, for hardware does not foresee 16 streams.
  void score(float* s, const T* k, const T* ahead) {
    constexpr int64_t step = keys_at_once * sizeof(T);
    for (int64_t n = 0; n < lanes; n += keys_at_once) {
      const int64_t offset = n * t_.value_stride;
      const auto* next = reinterpret_cast<const char*>(ahead + offset);
      if constexpr (operand<T> == Operand::Pair)
        score_pairs<keys_at_once>(s + n * lanes, qt_, k + offset, t_.key_dim, t_.value_stride, next);
      else
        score_keys<keys_at_once>(s + n * lanes, qt_, floats(k + offset), t_.key_dim, next, step);
    }
  }

  /// keys_at_once rows of keys side by side.
  const float* floats(const T* k) {
    if constexpr (std::is_same_v<T, float>)
      if (t_.value_stride == t_.key_dim) return k;
    for (int64_t n = 0; n < keys_at_once; n++) {
      float* to = wide_ + n * t_.key_dim;
      const T* from = k + n * t_.value_stride;
      int64_t d = 0;
      for (; d + lanes <= t_.key_dim; d += lanes) store(to + d, load(from + d));
      for (; d < t_.key_dim; d++) to[d] = static_cast<float>(from[d]);
    }
    return wide_;
  }

  /// Turns the scores into weights and brings what came before to the new maximum.
  void softmax(int64_t first_key, int64_t keys) {
    Vec limit = highest_;
    for (int64_t j = 0; j < keys; j++) {
      Vec x = load(s_ + j * lanes);
      if (t_.softcap > 0) x = t_.softcap * tanh(x * (1 / t_.softcap));
      const auto key = static_cast<int32_t>(first_key + j);
      const VecI hidden = (position_ < key) | (oldest_ > key);
      x = hidden ? splat(masked) : x;
      limit = x > limit ? x : limit;
      store(s_ + j * lanes, x);
    }
    const Vec factor = exp(highest_ - limit);
    highest_ = limit;
    total_ *= factor;
    for (int64_t j = 0; j < keys; j++) {
      const Vec p = exp(load(s_ + j * lanes) - limit);
      total_ += p;
      store(s_ + j * lanes, p);
    }
    to_operands<T>(s_, keys);
    for (int64_t r = 0; r < rows_; r++) rescale(out_ + r * t_.value_dim, factor[r], t_.value_dim);
  }

  const AttentionTile& t_;
  int64_t rows_;
  float* out_;
  float* s_;     // (tile_keys, 16); as pairs (tile_keys / 2, 16)
  float* qt_;    // (key_dim, 16); as pairs (key_dim / 2 rounded up, 16)
  float* wide_;  // (keys_at_once, key_dim)
  VecI position_, oldest_;
  Vec highest_ = splat(masked), total_{};
};

template <class T>
void attend_rows(const AttentionTile& t) {
  for (int64_t r = 0; r < t.rows; r += lanes) {
    RowVector<T> rows(t, r);
    for (int64_t first = t.first_key, next; first < t.end_key; first = next) {
      next = std::min(t.end_key, first / tile_keys * tile_keys + tile_keys);
      rows.attend(t.block_table + first / lanes, first, next - first, t.end_key - first);
    }
    rows.store_sums(t.highest + r, t.total + r);
  }
}

}  // namespace
}  // namespace infernum
