// Tiles of keys and values in shared memory, and what a warp does with one cache block of 16 keys on tensor cores.
#pragma once
#include "ops/cuda/attention.cuh"
#include "ops/cuda/mma.cuh"

namespace infernum::cuda {

/// One kv head of a cache block. Keys stay as the cache has them, (D, 16): the two 16-byte halves of a row change places in every second
/// group of 4 rows. Values (16, D) get rows of an odd number of 16-byte units. Both so that 8 rows lie in different banks.
template <class T, int D>
struct BlockTile {
  static constexpr int value_stride = D + 8;
  T keys[D * block_tokens];
  T values[block_tokens * value_stride];

  /// Copies by `threads` threads. Values from key `end` on become zeros, as the cache may hold anything there.
  __device__ void load(const T* k, const T* v, int end, int thread, int threads) {
    for (int i = thread; i < 2 * D; i += threads) {
      const int d = i / 2, half = (i % 2) ^ (d / 4 % 2), key = i / (D / 8), column = i % (D / 8) * 8;
      copy_16_bytes(keys + d * block_tokens + half * 8, k + i * 8);
      copy_16_bytes(values + key * value_stride + column, v + i * 8, key >= end);
    }
  }
  /// As for a block without keys to see.
  __device__ void clear(const T* readable, int thread, int threads) {
    for (int i = thread; i < 2 * D; i += threads) {
      const int key = i / (D / 8), column = i % (D / 8) * 8;
      copy_16_bytes(keys + i * 8, readable, true);
      copy_16_bytes(values + key * value_stride + column, readable, true);
    }
  }
  /// Components 16 step .. + 15 of all keys: b[0], b[1] for keys 0 .. 7, b[2], b[3] for the others.
  __device__ void key_fragments(uint32_t (&b)[4], int step, int lane) const {
    const int d = step * 16 + lane / 8 % 2 * 8 + lane % 8, half = (lane / 16) ^ (d / 4 % 2);
    load_matrices_transposed(b, keys + d * block_tokens + half * 8);
  }
  /// All keys of components 16 step .. + 15: b[0], b[1] for the first 8 of them.
  __device__ void value_fragments(uint32_t (&b)[4], int step, int lane) const {
    const int key = lane / 8 % 2 * 8 + lane % 8;
    load_matrices_transposed(b, values + key * value_stride + step * 16 + lane / 16 * 8);
  }
};

/// Rows of q as a warp multiplies them: (16, D) at `q`, rows D + 8 apart.
template <class T, int D>
__device__ void query_fragment(uint32_t (&a)[4], const T* q, int step, int lane) {
  load_matrices(a, q + (lane / 8 % 2 * 8 + lane % 8) * (D + 8) + step * 16 + lane / 16 * 8);
}

/// Copies rows (token, head) of q to shared memory, rows D + 8 apart; zeros behind the last one.
template <class T, int D>
__device__ void load_queries(T* to, const AttentionWork& w, int first_token, int first_head, int heads, int rows, int all_rows) {
  const T* q = static_cast<const T*>(w.q.data);
  for (int i = threadIdx.x; i < all_rows * (D / 8); i += blockDim.x) {
    const int r = i / (D / 8), column = i % (D / 8) * 8;
    const T* from = q + (first_token + min(r, rows - 1) / heads) * w.q.stride + (first_head + min(r, rows - 1) % heads) * D + column;
    copy_16_bytes(to + r * (D + 8) + column, from, r >= rows);
  }
}

__device__ inline float score_to_log2(const AttentionWork& w) { return (w.softcap > 0 ? 1 : w.scale) * log2_of_e; }

/// Within 1e-7.
__device__ inline float fast_tanh(float x) { return 1 - __fdividef(2.f, 1 + power_of_2(2 * log2_of_e * x)); }

/// The running softmax of the two rows of c that a lane has (mma.cuh). Scores stay products of q and k, or what softcap makes of them,
/// until `to_log2` takes them into the exponent: one multiply-add per score.
struct RowPair {
  float highest[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};  ///< total: of this lane's columns
  int position[2] = {-1, -1}, oldest[2] = {0, 0};
  float to_log2 = 1;  ///< positive

  __device__ bool sees(int row, int key) const { return key <= position[row] && key >= oldest[row]; }
  __device__ float highest_in_log2(int row) const { return highest[row] * to_log2; }

  /// From products of `Columns` 8-key tiles to weights; what was summed before must be multiplied by `factor`.
  template <int Columns>
  __device__ void update(const AttentionWork& w, float (&s)[Columns][4], int first_key, bool mask, float (&factor)[2], int lane) {
    if (w.softcap > 0)
#pragma unroll
      for (int n = 0; n < Columns; n++)
#pragma unroll
        for (float& x : s[n]) x = w.softcap * fast_tanh(x * w.scale / w.softcap);
    if (mask)
#pragma unroll
      for (int n = 0; n < Columns; n++)
#pragma unroll
        for (int e = 0; e < 4; e++)
          if (!sees(e / 2, first_key + n * 8 + lane % 4 * 2 + e % 2)) s[n][e] = -INFINITY;
    float top[2] = {-INFINITY, -INFINITY}, base[2];
#pragma unroll
    for (int n = 0; n < Columns; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) top[e / 2] = fmaxf(top[e / 2], s[n][e]);
#pragma unroll
    for (int r = 0; r < 2; r++) {
      const float limit = fmaxf(highest[r], quad_max(top[r]));
      base[r] = limit == -INFINITY ? 0.f : limit * to_log2;
      factor[r] = power_of_2(highest[r] * to_log2 - base[r]);
      highest[r] = limit;
      total[r] *= factor[r];
    }
#pragma unroll
    for (int n = 0; n < Columns; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        s[n][e] = power_of_2(s[n][e] * to_log2 - base[e / 2]);
        total[e / 2] += s[n][e];
      }
  }
};

}  // namespace infernum::cuda
