// Route. Tiny: E logits per token.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ops/cpu/rows.h"
#include "ops/kernels.h"

namespace infernum {
namespace {

/// Routes one token at a time; keeps its scratch between them.
class Router {
 public:
  Router(int64_t experts, const float* bias, RouteParams p)
      : p_(p), bias_(bias), scores_(static_cast<size_t>(experts)), choice_(scores_), group_scores_(static_cast<size_t>(p.groups)) {}

  void operator()(float* weights, int32_t* ids, const float* logits) {
    const float total = score(logits);
    for (size_t e = 0; e < scores_.size(); e++) choice_[e] = bias_ ? scores_[e] + bias_[e] : logits[e];  // s rises with the logit
    const auto chosen = choose();
    // NaN sorts last; what cannot be a weight is not passed off as one: it reaches the logits, where the sampler reports it.
    float kept = p_.scoring == RouteParams::Sigmoid ? 1e-20f : 0;
    for (int32_t e : chosen) kept += scores_[static_cast<size_t>(e)];
    const float factor = std::isnan(total) ? total : p_.renormalise ? p_.scale / kept : p_.scale;
    for (size_t s = 0; s < chosen.size(); s++) {
      ids[s] = chosen[s];
      weights[s] = scores_[static_cast<size_t>(chosen[s])] * factor;
    }
  }

 private:
  /// Fills scores_ and returns a number that is NaN if any logit is.
  float score(const float* x) {
    const auto n = static_cast<int64_t>(scores_.size());
    float total = 0;
    if (p_.scoring == RouteParams::Sigmoid) {
      for (size_t e = 0; e < scores_.size(); e++) total += scores_[e] = 1 / (1 + std::exp(-x[e]));
      return total;
    }
    const float highest = *std::max_element(x, x + n);
    for (size_t e = 0; e < scores_.size(); e++) total += scores_[e] = std::exp(x[e] - highest);
    for (float& s : scores_) s /= total;
    return total;
  }

  /// The first `count` of `candidates` by falling key; ties go to the lower id, NaN counts as -inf, so that the order is a strict one.
  static void keep_best(std::vector<int32_t>& candidates, int count, const std::vector<float>& keys) {
    const auto key = [&](int32_t i) {
      const float k = keys[static_cast<size_t>(i)];
      return std::isnan(k) ? -std::numeric_limits<float>::infinity() : k;
    };
    std::partial_sort(candidates.begin(), candidates.begin() + count, candidates.end(),
                      [&](int32_t a, int32_t b) { return key(a) > key(b) || (key(a) == key(b) && a < b); });
    candidates.resize(static_cast<size_t>(count));
  }

  const std::vector<int32_t>& choose() {
    const size_t group = scores_.size() / group_scores_.size();
    candidates_.resize(group_scores_.size());
    std::iota(candidates_.begin(), candidates_.end(), 0);
    if (p_.kept_groups < p_.groups) {
      for (size_t g = 0; g < group_scores_.size(); g++) group_scores_[g] = group_score(g * group, (g + 1) * group);
      keep_best(candidates_, p_.kept_groups, group_scores_);
    }
    kept_groups_.swap(candidates_);
    candidates_.clear();
    for (int32_t g : kept_groups_)
      for (size_t i = 0; i < group; i++) candidates_.push_back(static_cast<int32_t>(static_cast<size_t>(g) * group + i));
    keep_best(candidates_, p_.top_k, choice_);
    return candidates_;
  }

  float group_score(size_t begin, size_t end) const {
    float first = -std::numeric_limits<float>::infinity(), second = first;
    for (size_t e = begin; e < end; e++) {
      const float c = p_.group_score == RouteParams::Max || bias_ ? choice_[e] : scores_[e];
      if (c > first) {
        second = first;
        first = c;
      } else if (c > second) {
        second = c;
      }
    }
    return p_.group_score == RouteParams::Max ? first : first + second;
  }

  RouteParams p_;
  const float* bias_;
  std::vector<float> scores_, choice_, group_scores_;
  std::vector<int32_t> candidates_, kept_groups_;
};

}  // namespace

void kernel(Route, Queue<Cpu>& q, View<Cpu> weights, View<Cpu> ids, View<Cpu> logits, View<Cpu> bias, RouteParams p) {
  const RowOps& ops = row_ops(q.isa);
  q.parallel_for(logits.rows(), 16, [&](int64_t begin, int64_t end) {
    Router router(logits.cols(), bias.as<const float>(), p);
    std::vector<float> scratch;
    for (int64_t t = begin; t < end; t++) router(weights.row<float>(t), ids.row<int32_t>(t), read_row(ops, logits, t, scratch));
  });
}

}  // namespace infernum
