// Executor: turns a plan of which sequences advance by how many tokens into one call of the model. The seam below a scheduler.
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "models/model.h"
#include "runtime/sequence_cache.h"

namespace infernum {

/// One sequence's share of a step: tokens at positions first .. first + tokens.size() - 1, whose predecessors are cached.
struct StepItem {
  SequenceCache* cache;
  std::span<const int32_t> tokens;
  int64_t first;
  enum class Logits { None, Last, All } logits = Logits::Last;
};

/// Logits of one step: a row (vocab_size) per wanted token, items in order.
struct StepLogits {
  std::vector<float> values;
  int64_t vocab_size = 0;
  std::vector<int64_t> first_row;  ///< of each item; behind the last the number of rows
  std::span<float> row(int64_t r) { return {values.data() + r * vocab_size, static_cast<size_t>(vocab_size)}; }
  int64_t rows() const { return first_row.back(); }
};

/// Runs one step. The caches must have room (SequenceCache::reserve) for every token; blocks that windows have passed are given back after
/// it. Before that, `computed` is told of each item whose blocks now hold what they are for. When the model throws, a sequence continues at
/// its cache's length, which may be less than before (SequenceCache::fail_step).
StepLogits run_step(Model& model, std::span<const StepItem> items, const std::function<void(size_t item)>& computed = {});

}  // namespace infernum
