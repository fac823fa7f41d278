#include "runtime/token_choice.h"

#include <algorithm>
#include <cmath>

namespace infernum {

ScoredToken score_token(std::span<const float> logits, int32_t id, const ScoringParams& scoring) {
  ScoredToken token{id, {}, 0, {}};
  if (scoring.top < 0) return token;
  const Scores scores(logits);
  token.logprob = scores.logprob(id);
  token.rank = scores.rank(id);
  token.top = scores.top(scoring.top);
  for (int32_t other : scoring.ids) token.top.push_back({other, scores.logprob(other)});
  return token;
}

ScoredToken choose_token(std::span<float> logits, const SamplingParams& sampling, const ScoringParams& scoring, const ChoiceContext& at) {
  const auto position = static_cast<int64_t>(at.prompt.size() + at.output.size());
  std::vector<float> raw;
  if (scoring.top >= 0) raw.assign(logits.begin(), logits.end());
  std::vector<TokenLogprob> kept;
  const bool processed = scoring.top >= 0 && scoring.processed;
  const int32_t id = sample(logits, sampling, at, position, processed ? &kept : nullptr);
  if (processed) {
    std::fill(raw.begin(), raw.end(), -INFINITY);
    for (const TokenLogprob& t : kept) raw[static_cast<size_t>(t.id)] = t.logprob;
  }
  return score_token(raw, id, scoring);
}

}  // namespace infernum
