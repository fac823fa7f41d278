// Passes over the logits of a whole vocabulary, of 150,000 tokens and more: written in lanes, so that compilers make vector code of them.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace infernum {

struct BestLogit {
  int32_t id = -1;  ///< the lowest of equals; -1 if all are minus infinity
  float value = 0;
  bool nan = false;  ///< there is one among them
};
BestLogit best_logit(std::span<const float> logits);

/// The weights exp((logit - highest) / temperature) of `scan_block` logits at a time, relative error 2e-7; minus infinity has weight 0.
inline constexpr size_t scan_block = 1024;
class Weights {
 public:
  Weights(std::span<const float> logits, float highest, float temperature);
  double total() const { return total_; }
  /// The id at which the running sum passes `share` (in [0, 1)) of the total.
  int32_t pick(double share) const;
  /// A logit such that those from it on have at least this share of the total, and hardly more than they must.
  float threshold(double share) const;

 private:
  float weight(size_t id) const;
  std::span<const float> logits_;
  float highest_, scale_;
  std::vector<double> blocks_;
  double total_ = 0;
};

/// How many logits are at least `threshold`, and greater than it.
int64_t count_from(std::span<const float> logits, float threshold);
int64_t count_above(std::span<const float> logits, float threshold);

}  // namespace infernum
