// GgufBlocks: a matrix in one of GGUF's block types; each row is a run of blocks, so it is cut between blocks.
#pragma once
#include "formats/place.h"
#include "ops/matmul.h"

namespace infernum {

template <class B>
struct GgufBlocks {
  Tensor<B> w;  ///< (n, k) in the backend's form of the blocks

  static bool stores(DType t) { return is_gguf_block(t); }
  static GgufBlocks load(Device<B>& device, const StoredTensor& t) { return {place_blocks(device, t)}; }
  static Matrices<B> load(Device<B>& device, const std::vector<StoredTensor>& list) { return place_blocks(device, list); }

  template <Layout Out, Layout In>
  Tensor<B, Out> multiply(const Tensor<B, In>& x, std::optional<DType> dtype) const {
    return block_matmul<Out>(x, w, dtype);
  }
};

}  // namespace infernum
