// What kernels over a ragged batch share: views of any float type, whose sequence a token or a tile of tokens is, which keys it sees.
#pragma once
#include <cmath>

#include "backends/cuda/device.cuh"

namespace infernum::cuda {

/// ops/sequence_state.h says the same to the host.
inline constexpr int block_tokens = 16;

__device__ constexpr float log2_of_e = 1.4426950408889634f;

/// A view whose float type is known at run time only: for what a kernel touches once.
struct AnyRows {
  void* data;
  int64_t stride;
  DType dtype;

  explicit AnyRows(const View<Cuda>& v) : data(v.data), stride(v.stride), dtype(v.dtype) {}
  __device__ float get(int64_t row, int64_t column) const {
    const int64_t i = row * stride + column;
    switch (dtype) {
      case DType::F32: return static_cast<const float*>(data)[i];
      case DType::F16: return to_float(static_cast<const __half*>(data)[i]);
      default: return to_float(static_cast<const __nv_bfloat16*>(data)[i]);
    }
  }
  __device__ void set(int64_t row, int64_t column, float x) const {
    const int64_t i = row * stride + column;
    switch (dtype) {
      case DType::F32: static_cast<float*>(data)[i] = x; break;
      case DType::F16: static_cast<__half*>(data)[i] = from_float<__half>(x); break;
      default: static_cast<__nv_bfloat16*>(data)[i] = from_float<__nv_bfloat16>(x);
    }
  }
};

/// A batch's tokens, and the blocks of its sequences.
struct Sequences {
  const int32_t *positions, *query_start, *table;
  int64_t table_stride;
  int count;

  Sequences(const View<Cuda>& position, const View<Cuda>& start, const View<Cuda>& block_table)
      : positions(position.as<const int32_t>()),
        query_start(start.as<const int32_t>()),
        table(block_table.as<const int32_t>()),
        table_stride(block_table.stride),
        count(static_cast<int>(start.cols()) - 1) {}

  __device__ const int32_t* blocks(int sequence) const { return table + sequence * table_stride; }

  /// The sequence of a token. In a decode step token t is all of sequence t: that is tried first.
  __device__ int of(int token) const {
    if (token < count && query_start[token] == token && query_start[token + 1] == token + 1) return token;
    int low = 0, high = count;  // the last sequence that begins at the token or before
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      if (query_start[middle] <= token)
        low = middle;
      else
        high = middle;
    }
    return low;
  }
};

/// Tokens first .. first + tokens - 1 of one sequence; none: this tile is left over.
struct TokenTile {
  int sequence, first, tokens;
};

/// Sequence s owns the tiles from start[s] / size + s on, which are at least as many as it needs: no sum over sequences is necessary.
inline int64_t tile_count(int64_t tokens, int64_t sequences, int64_t size) { return sequences > 0 ? tokens / size + sequences : 0; }

__device__ inline TokenTile tile_of(const Sequences& s, int tile, int size) {
  int low = 0, high = s.count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (s.query_start[middle] / size + middle <= tile)
      low = middle;
    else
      high = middle;
  }
  const int start = s.query_start[low], first = start + (tile - (start / size + low)) * size;
  return {low, first, max(0, min(size, s.query_start[low + 1] - first))};
}

}  // namespace infernum::cuda
