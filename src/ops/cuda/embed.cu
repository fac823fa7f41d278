// Embed: rows of a table of floats or GGUF blocks. Ids were checked against the table by the caller of the model.
#include "ops/cuda/blocks.cuh"
#include "ops/cuda/map_rows.cuh"
#include "ops/kernels.h"

namespace infernum {
namespace {

struct Same {
  __device__ float operator()(float x) const { return x; }
};

/// Floor: bytes of y and of the blocks. A thread per eight columns, which never span blocks.
template <class Block>
__global__ void embed_blocks_kernel(cuda::Rows<float> y, const Block* table, int64_t blocks_per_row, int block_elements, const int32_t* ids,
                                    int64_t n_rows, int64_t cols, bool vectors) {
  const int64_t c = cuda::first_unit() * 8;
  if (c >= cols) return;
  for (int64_t t = cuda::first_row(); t < n_rows; t += cuda::row_step()) {
    cuda::Pack<float, 8> out;
    cuda::dequantize8(table + ids[t] * blocks_per_row + c / block_elements, static_cast<int>(c % block_elements) / 8, out.values);
    if (vectors)
      cuda::store<8>(y[t] + c, out);
    else
      for (int i = 0; i < 8; i++) y[t][c + i] = out.values[i];
  }
}

template <class Block>
void embed_blocks(Queue<Cuda>& q, const View<Cuda>& y, const View<Cuda>& table, const View<Cuda>& ids) {
  const int block = info(table.dtype).block;
  const auto out = cuda::rows<float>(y);
  check(reinterpret_cast<uintptr_t>(table.data) % cuda::block_alignment<Block> == 0, "embed: a table of blocks begins at an even address",
        info(table.dtype).name);
  launch(q, Embed::name, embed_blocks_kernel<Block>, cuda::row_grid(y.rows(), cuda::ceil_div(y.cols(), 8)), {&y, &table, &ids}, out,
         static_cast<const Block*>(table.data), table.stride / block, block, ids.as<const int32_t>(), y.rows(), y.cols(),
         cuda::aligned<8>(out, y.rows()));
}

}  // namespace

void kernel(Embed, Queue<Cuda>& q, View<Cuda> y, View<Cuda> table, View<Cuda> ids) {
  check(y.dtype == DType::F32, "embed: rows become F32", info(y.dtype).name);
  switch (table.dtype) {
    case DType::Q4_0: return embed_blocks<BlockQ4_0>(q, y, table, ids);
    case DType::Q4_1: return embed_blocks<BlockQ4_1>(q, y, table, ids);
    case DType::Q5_0: return embed_blocks<BlockQ5_0>(q, y, table, ids);
    case DType::Q5_1: return embed_blocks<BlockQ5_1>(q, y, table, ids);
    case DType::Q8_0: return embed_blocks<BlockQ8_0>(q, y, table, ids);
    case DType::Q2_K: return embed_blocks<BlockQ2_K>(q, y, table, ids);
    case DType::Q3_K: return embed_blocks<BlockQ3_K>(q, y, table, ids);
    case DType::Q4_K: return embed_blocks<BlockQ4_K>(q, y, table, ids);
    case DType::Q5_K: return embed_blocks<BlockQ5_K>(q, y, table, ids);
    case DType::Q6_K: return embed_blocks<BlockQ6_K>(q, y, table, ids);
    case DType::IQ4_NL: return embed_blocks<BlockIQ4_NL>(q, y, table, ids);
    case DType::IQ4_XS: return embed_blocks<BlockIQ4_XS>(q, y, table, ids);
    case DType::IQ3_S: return embed_blocks<BlockIQ3_S>(q, y, table, ids);
    case DType::MXFP4: return embed_blocks<BlockMXFP4>(q, y, table, ids);
    case DType::TQ1_0: return embed_blocks<BlockTQ1_0>(q, y, table, ids);
    case DType::TQ2_0: return embed_blocks<BlockTQ2_0>(q, y, table, ids);
    default: break;
  }
  cuda::dispatch_float(table.dtype, [&]<class T>(cuda::Type<T>) {
    cuda::map_rows(q, Embed::name, {&y, &table, &ids}, y.rows(), y.cols(), Same{}, cuda::rows<float>(y),
                   cuda::IndexedRows<const T>{static_cast<const T*>(table.data), table.stride, ids.as<const int32_t>()});
  });
}

}  // namespace infernum
