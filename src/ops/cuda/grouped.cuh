// The tiled product of pairs sorted by the matrix that they chose: 64 pairs by 64 rows of w a block, tensor cores for 16-bit types.
#pragma once
#include <mma.h>

#include <algorithm>

#include "ops/cuda/blocks.cuh"
#include "ops/cuda/products.cuh"

namespace infernum::cuda {

constexpr int tile_rows = 64, tile_cols = 64, tile_depth = 32, tile_threads = 256;

/// Pairs in the order of their matrices. Tiles of a matrix are counted after those of the matrices before it.
struct Groups {
  const int32_t* first;       ///< (experts + 1): where the pairs of a matrix begin in `order`
  const int32_t* first_tile;  ///< (experts + 1)
  const int32_t* order;       ///< pairs
};

/// Whether whole octets of operand rows may be loaded at once.
struct Wide {
  bool x, w;
};

/// Elements 8 i .. 8 i + 7 of a row of k, zeros behind its end, as C.
template <class C, class T>
__device__ Pack<C, 8> octet_of_floats(const T* row, int64_t i, int64_t k, bool wide) {
  Pack<C, 8> out;
  if (wide && 8 * i + 8 <= k) {
    const auto in = *reinterpret_cast<const Pack<T, 8>*>(row + 8 * i);
    if constexpr (std::is_same_v<C, T>) {
      out = in;
    } else {
#pragma unroll
      for (int e = 0; e < 8; e++) out.values[e] = from_float<C>(to_float(in.values[e]));
    }
    return out;
  }
#pragma unroll
  for (int e = 0; e < 8; e++) out.values[e] = from_float<C>(8 * i + e < k ? to_float(row[8 * i + e]) : 0.f);
  return out;
}

template <class T>
concept BlockType = requires {
  T::type;
};

/// The same of row r of w, floats or blocks.
template <class C, class W>
__device__ Pack<C, 8> octet_of_weights(const Operands& a, const std::byte* w, int64_t r, int64_t i, bool wide) {
  if constexpr (BlockType<W>) {
    constexpr int per_block = block_elements<W> / 8;
    Pack<C, 8> out;
    float values[8] = {};
    if (8 * i < a.k)
      dequantize8(reinterpret_cast<const W*>(w) + r * (a.k / block_elements<W>)+i / per_block, static_cast<int>(i % per_block), values);
#pragma unroll
    for (int e = 0; e < 8; e++) out.values[e] = from_float<C>(values[e]);
    return out;
  } else {
    return octet_of_floats<C>(reinterpret_cast<const W*>(w) + r * a.w_stride, i, a.k, wide);
  }
}

/// Sums of a tile in 16-bit types: eight warps, each 16 rows by 32 columns of tensor core fragments.
template <class C>
struct TileSums {
  static constexpr int stride = tile_depth + 8;  // of a row in shared memory: rows fall to different banks
  static constexpr int columns = 32;             // of a warp
  using Fragment = nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float>;
  Fragment sums[2];

  __device__ TileSums() {
    for (auto& s : sums) nvcuda::wmma::fill_fragment(s, 0.f);
  }
  __device__ void add(const C* x, const C* w) {
    namespace wmma = nvcuda::wmma;
    const int warp = threadIdx.x / 32, row = warp / 2 * 16, col = warp % 2 * columns;
#pragma unroll
    for (int k = 0; k < tile_depth; k += 16) {
      wmma::fragment<wmma::matrix_a, 16, 16, 16, C, wmma::row_major> in;
      wmma::load_matrix_sync(in, x + row * stride + k, stride);
#pragma unroll
      for (int j = 0; j < 2; j++) {
        wmma::fragment<wmma::matrix_b, 16, 16, 16, C, wmma::col_major> weights;
        wmma::load_matrix_sync(weights, w + (col + 16 * j) * stride + k, stride);
        wmma::mma_sync(sums[j], in, weights, sums[j]);
      }
    }
  }
  /// To out (tile_rows, tile_cols).
  __device__ void write(float* out) {
    const int warp = threadIdx.x / 32, row = warp / 2 * 16, col = warp % 2 * columns;
    for (int j = 0; j < 2; j++)
      nvcuda::wmma::store_matrix_sync(out + row * tile_cols + col + 16 * j, sums[j], tile_cols, nvcuda::wmma::mem_row_major);
  }
};

/// The same in F32: 4 by 4 elements a thread, 16 apart.
template <>
struct TileSums<float> {
  static constexpr int stride = tile_depth + 4;
  float sums[4][4] = {};

  __device__ void add(const float* x, const float* w) {
    const int row = threadIdx.x / 16, col = threadIdx.x % 16;
#pragma unroll 4
    for (int k = 0; k < tile_depth; k++) {
      float in[4], weights[4];
#pragma unroll
      for (int i = 0; i < 4; i++) in[i] = x[(row + 16 * i) * stride + k], weights[i] = w[(col + 16 * i) * stride + k];
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) sums[i][j] = fmaf(in[i], weights[j], sums[i][j]);
    }
  }
  __device__ void write(float* out) {
    const int row = threadIdx.x / 16, col = threadIdx.x % 16;
    for (int i = 0; i < 4; i++)
      for (int j = 0; j < 4; j++) out[(row + 16 * i) * tile_cols + col + 16 * j] = sums[i][j];
  }
};

/// The matrix that tile t belongs to: the last whose first tile is not behind t.
__device__ inline int matrix_of_tile(const Groups& g, int experts, int t) {
  int low = 0, high = experts - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (g.first_tile[middle] <= t)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

/// Floor: 2 pairs n k FLOPs, or the bytes of the chosen matrices. Grid: (n / tile_cols, tiles there can be at most); blocks beyond the
/// tiles there are leave at once. X, W: types of the operands; C: the type multiplied.
template <class X, class W, class C>
__global__ void __launch_bounds__(tile_threads) multiply_tiles(Operands a, Groups g, Wide wide) {
  using Sums = TileSums<C>;
  constexpr int operand = tile_rows * Sums::stride * static_cast<int>(sizeof(C)), result = tile_rows * tile_cols * 4;
  __shared__ alignas(32) unsigned char memory[2 * operand > result ? 2 * operand : result];
  __shared__ int32_t pairs[tile_rows];
  auto *x_tile = reinterpret_cast<C*>(memory), *w_tile = reinterpret_cast<C*>(memory + operand);
  const int thread = threadIdx.x, experts = a.chosen.experts, tiles = g.first_tile[experts];
  const int64_t col0 = static_cast<int64_t>(blockIdx.x) * tile_cols;
  for (int tile = blockIdx.y; tile < tiles; tile += gridDim.y) {
    const int e = matrix_of_tile(g, experts, tile), begin = g.first[e] + (tile - g.first_tile[e]) * tile_rows;
    const int count = min(g.first[e + 1] - begin, tile_rows);
    __syncthreads();  // whoever still writes the tile before
    if (thread < tile_rows) pairs[thread] = thread < count ? g.order[begin + thread] : -1;
    __syncthreads();
    const std::byte* w = static_cast<const std::byte*>(a.w) + e * a.chosen.step;
    // Each thread brings an octet of x and one of w for every step of tile_depth.
    const int line = thread / (tile_depth / 8), octet = thread % (tile_depth / 8), pair = pairs[line];
    const X* x_row = static_cast<const X*>(a.x) + static_cast<int64_t>(max(pair, 0) / a.chosen.share) * a.x_stride;
    const int64_t w_row = min(col0 + line, a.n - 1);
    const auto load_x = [&](int64_t k0) {
      if (pair < 0) return Pack<C, 8>{};
      return octet_of_floats<C>(x_row, k0 / 8 + octet, a.k, wide.x);
    };
    const auto load_w = [&](int64_t k0) { return octet_of_weights<C, W>(a, w, w_row, k0 / 8 + octet, wide.w); };
    Sums sums;
    Pack<C, 8> next_x = load_x(0), next_w = load_w(0);
    for (int64_t k0 = 0; k0 < a.k; k0 += tile_depth) {
      *reinterpret_cast<Pack<C, 8>*>(x_tile + line * Sums::stride + 8 * octet) = next_x;
      *reinterpret_cast<Pack<C, 8>*>(w_tile + line * Sums::stride + 8 * octet) = next_w;
      __syncthreads();
      if (k0 + tile_depth < a.k) next_x = load_x(k0 + tile_depth), next_w = load_w(k0 + tile_depth);
      sums.add(x_tile, w_tile);
      __syncthreads();
    }
    auto* out = reinterpret_cast<float*>(memory);
    sums.write(out);
    __syncthreads();
    for (int i = thread; i < tile_rows * tile_cols; i += tile_threads) {
      const int row = i / tile_cols;
      const int64_t col = col0 + i % tile_cols;
      if (pairs[row] >= 0 && col < a.n) store(a, pairs[row], col, out[i]);
    }
  }
}

template <class X, class W, class C>
void launch_tiles(Queue<Cuda>& q, std::string_view op, const Operands& a, const Groups& g) {
  const auto whole_octets = [](const void* p, int64_t stride_bytes) { return divides(16, p) && stride_bytes % 16 == 0; };
  const Wide wide{whole_octets(a.x, a.x_stride * static_cast<int64_t>(sizeof(X))),
                  whole_octets(a.w, a.w_stride * static_cast<int64_t>(sizeof(W))) && a.chosen.step % 16 == 0};
  const int64_t tiles = std::min<int64_t>({a.m, a.m / tile_rows + a.chosen.experts, 65535});
  launch(q, op, multiply_tiles<X, W, C>,
         {dim3(static_cast<unsigned>((a.n + tile_cols - 1) / tile_cols), static_cast<unsigned>(tiles)), tile_threads}, {}, a, g, wide);
}

// One file each, so that they compile beside one another.
void multiply_float_tiles(Queue<Cuda>& q, std::string_view op, const Operands& a, const Groups& g);
void multiply_block_tiles(Queue<Cuda>& q, std::string_view op, const Operands& a, const Groups& g);

}  // namespace infernum::cuda
