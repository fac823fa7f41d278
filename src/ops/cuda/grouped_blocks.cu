// Tiles of pairs with GGUF blocks, expanded on their way into shared memory to the type of the activations.
#include "ops/cuda/grouped.cuh"

namespace infernum::cuda {

void multiply_block_tiles(Queue<Cuda>& q, std::string_view op, const Operands& a, const Groups& g) {
  dispatch_float(a.x_type, [&](auto x_tag) {
    using X = typename decltype(x_tag)::type;
    with_block(a.w_type, [&](auto block) { launch_tiles<X, decltype(block), X>(q, op, a, g); });
  });
}

}  // namespace infernum::cuda
