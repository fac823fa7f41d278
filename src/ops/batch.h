// Batch: the ragged batch of one step as the model sees it. Prefill, decode and mixed steps look the same: a decode row is a query of
// length 1.
#pragma once
#include <vector>

#include "ops/sequence_state.h"

namespace infernum {

template <class B>
struct Batch {
  Tensor<B> ids;                        ///< (T) I32
  Tensor<B> positions;                  ///< (T) I32, position of each token in its own sequence; ascending within a sequence
  Tensor<B> query_start;                ///< (R + 1) I32: tokens query_start[r] .. query_start[r+1] belong to sequence r
  std::vector<Tensor<B>> block_tables;  ///< per group of layers (R, blocks) I32; blocks behind a window may be freed and are never read
  Tensor<B> out_rows;                   ///< (n) I32: the rows whose logits are wanted
  int64_t context = 0;                  ///< longest sequence, this step's tokens included
};

}  // namespace infernum
