// GEMV with the K-quants.
#include "ops/cuda/gemv_blocks.cuh"

namespace infernum::cuda {

void gemv_k_blocks(Queue<Cuda>& q, std::string_view op, const Operands& a, const Activations& x) {
  switch (a.w_type) {
    case DType::Q2_K: return gemv_of_blocks<BlockQ2_K>(q, op, a, x);
    case DType::Q3_K: return gemv_of_blocks<BlockQ3_K>(q, op, a, x);
    case DType::Q4_K: return gemv_of_blocks<BlockQ4_K>(q, op, a, x);
    case DType::Q5_K: return gemv_of_blocks<BlockQ5_K>(q, op, a, x);
    case DType::Q6_K: return gemv_of_blocks<BlockQ6_K>(q, op, a, x);
    default: fail("matmul: not a K-quant", info(a.w_type).name);
  }
}

}  // namespace infernum::cuda
