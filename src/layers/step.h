// Step: what all layers of one step share.
#pragma once
#include <vector>

#include "ops/batch.h"

namespace infernum {

template <class B>
struct Step {
  const Batch<B>& batch;
  std::vector<Tensor<B>> rope;  ///< a table (T, rotary_dim) per RopeConfig of the model
};

}  // namespace infernum
