// Step: what all layers of one step share.
#pragma once
#include <optional>
#include <vector>

#include "ops/batch.h"

namespace infernum {

template <class B>
struct Step {
  const Batch<B>& batch;
  std::vector<Tensor<B>> rope;               ///< a table (T, rotary_dim) per RopeConfig of the model
  std::optional<Tensor<B>> per_layer_input;  ///< (T, layers * width) of models that embed tokens in every layer
};

}  // namespace infernum
