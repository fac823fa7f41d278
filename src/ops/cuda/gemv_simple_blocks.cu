// GEMV with the GGUF types whose blocks have 32 elements.
#include "ops/cuda/gemv_blocks.cuh"

namespace infernum::cuda {

void gemv_simple_blocks(Queue<Cuda>& q, std::string_view op, const Operands& a, const Activations& x) {
  switch (a.w_type) {
    case DType::Q4_0: return gemv_of_blocks<BlockQ4_0>(q, op, a, x);
    case DType::Q4_1: return gemv_of_blocks<BlockQ4_1>(q, op, a, x);
    case DType::Q5_0: return gemv_of_blocks<BlockQ5_0>(q, op, a, x);
    case DType::Q5_1: return gemv_of_blocks<BlockQ5_1>(q, op, a, x);
    case DType::Q8_0: return gemv_of_blocks<BlockQ8_0>(q, op, a, x);
    case DType::IQ4_NL: return gemv_of_blocks<BlockIQ4_NL>(q, op, a, x);
    case DType::MXFP4: return gemv_of_blocks<BlockMXFP4>(q, op, a, x);
    default: fail("matmul: not a type with blocks of 32", info(a.w_type).name);
  }
}

}  // namespace infernum::cuda
