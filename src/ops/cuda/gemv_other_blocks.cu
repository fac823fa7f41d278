// GEMV with the blocks of 256 elements that are not K-quants: non-linear levels, the grid type and the ternary types.
#include "ops/cuda/gemv_blocks.cuh"

namespace infernum::cuda {

void gemv_other_blocks(Queue<Cuda>& q, std::string_view op, const Operands& a, const Activations& x) {
  switch (a.w_type) {
    case DType::IQ4_XS: return gemv_of_blocks<BlockIQ4_XS>(q, op, a, x);
    case DType::IQ3_S: return gemv_of_blocks<BlockIQ3_S>(q, op, a, x);
    case DType::TQ1_0: return gemv_of_blocks<BlockTQ1_0>(q, op, a, x);
    case DType::TQ2_0: return gemv_of_blocks<BlockTQ2_0>(q, op, a, x);
    default: fail("matmul: no GEMV for this type of blocks", info(a.w_type).name);
  }
}

}  // namespace infernum::cuda
