// BenchSequence: one sequence of tokens in a shared cache, fed in steps as a prompt is.
#pragma once
#include <algorithm>
#include <span>

#include "core/check.h"
#include "runtime/executor.h"

namespace infernum::app {

class BenchSequence {
 public:
  static constexpr int64_t step_tokens = 512;

  BenchSequence(Model& model, CachePools& pools, int64_t length) : model_(model), cache_(pools) {
    check(cache_.reserve(length), "bench: cache too small");
  }
  void append(std::span<const int32_t> tokens) {
    for (size_t done = 0; done < tokens.size();) {
      const size_t n = std::min<size_t>(step_tokens, tokens.size() - done);
      const StepItem item{&cache_, tokens.subspan(done, n), length_, StepItem::Logits::Last};
      run_step(model_, std::span(&item, 1));
      length_ += static_cast<int64_t>(n);
      done += n;
    }
  }

 private:
  Model& model_;
  SequenceCache cache_;
  int64_t length_ = 0;
};

}  // namespace infernum::app
