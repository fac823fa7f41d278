// Matrices of any type as floats of another: what products without a kernel of their own multiply, strip by strip.
#include "ops/cuda/blocks.cuh"
#include "ops/cuda/products.cuh"

namespace infernum::cuda {
namespace {

constexpr int threads = 256;

/// Floor: bytes read and written over the memory's bandwidth. A thread makes eight elements. Grid: octets / threads.
template <class Block, class Y>
__global__ void __launch_bounds__(threads) from_blocks(const Block* w, Y* out, int64_t octets) {
  constexpr int per_block = block_elements<Block> / 8;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (at >= octets) return;
  float values[8];
  dequantize8(w + at / per_block, static_cast<int>(at % per_block), values);
  Pack<Y, 8> y;
#pragma unroll
  for (int i = 0; i < 8; i++) y.values[i] = from_float<Y>(values[i]);
  *reinterpret_cast<Pack<Y, 8>*>(out + 8 * at) = y;
}

/// The same of floats, an element a thread. Grid: (cols / threads, rows).
template <class X, class Y>
__global__ void __launch_bounds__(threads) from_floats(Rows<const X> in, Rows<Y> out, int64_t rows, int64_t cols) {
  const int64_t col = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (col >= cols) return;
  for (int64_t r = blockIdx.y; r < rows; r += gridDim.y) out[r][col] = from_float<Y>(to_float(in[r][col]));
}

unsigned blocks_for(int64_t n) { return static_cast<unsigned>((n + threads - 1) / threads); }

}  // namespace

void convert_rows(Queue<Cuda>& q, std::string_view op, const View<Cuda>& in, const View<Cuda>& out) {
  dispatch_float(out.dtype, [&](auto out_tag) {
    using Y = typename decltype(out_tag)::type;
    if (!is_float(in.dtype)) {
      check(in.stride == in.cols() && out.stride == out.cols(), "matmul: rows of blocks are packed", in.stride, out.stride);
      const int64_t octets = in.elements() / 8;
      return with_block(in.dtype, [&](auto block) {
        using Block = decltype(block);
        launch(q, op, from_blocks<Block, Y>, {blocks_for(octets), threads}, {&in, &out}, in.as<const Block>(), out.as<Y>(), octets);
      });
    }
    dispatch_float(in.dtype, [&](auto in_tag) {
      using X = typename decltype(in_tag)::type;
      const dim3 grid(blocks_for(in.cols()), static_cast<unsigned>(std::min<int64_t>(in.rows(), 65535)));
      launch(q, op, from_floats<X, Y>, {grid, threads}, {&in, &out}, rows<const X>(in), rows<Y>(out), in.rows(), in.cols());
    });
  });
}

}  // namespace infernum::cuda
