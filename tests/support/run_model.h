// Runs one sequence through a model the way the runtime does: a paged cache, any chunk size.
#pragma once
#include <algorithm>
#include <map>

#include "models/loader.h"
#include "runtime/executor.h"

namespace infernum::test {

class SingleSequence {
 public:
  SingleSequence(Model& model, int64_t tokens) : model_(model), pools_(model, tokens, 1), cache_(pools_) {}

  /// Logits (tokens, V) of the next tokens of the sequence, computed `chunk` at a time.
  std::vector<float> append(const std::vector<int32_t>& tokens, int64_t chunk = INT64_MAX) {
    std::vector<float> logits;
    for (int64_t done = 0; done < static_cast<int64_t>(tokens.size());) {
      const int64_t n = std::min<int64_t>(chunk, static_cast<int64_t>(tokens.size()) - done);
      check(cache_.reserve(position_ + n), "test: cache too small");
      const StepItem item{&cache_, std::span(tokens).subspan(static_cast<size_t>(done), static_cast<size_t>(n)), position_,
                          StepItem::Logits::All};
      const StepLogits step = run_step(model_, std::span(&item, 1));
      logits.insert(logits.end(), step.values.begin(), step.values.end());
      position_ += n;
      done += n;
    }
    return logits;
  }
  SequenceCache& cache() { return cache_; }

 private:
  Model& model_;
  CachePools pools_;
  SequenceCache cache_;
  int64_t position_ = 0;
};

}  // namespace infernum::test
