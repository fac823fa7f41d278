// The choice of a sequence's next token with its log probabilities, and the scoring of a token that is given.
#pragma once
#include <optional>

#include "runtime/sampler.h"

namespace infernum {

struct ScoredToken {
  int32_t id = 0;
  std::optional<float> logprob;   ///< nothing where none was asked for, and for the first token of a prompt
  int32_t rank = 0;               ///< 1: the most probable; 0 where no logprob was asked for
  std::vector<TokenLogprob> top;  ///< in falling order
};

/// Which log probabilities are wanted.
struct ScoringParams {
  int top = -1;                    ///< alternatives; 0: the token's own logprob alone; -1: none
  bool processed = false;          ///< of the distribution that is sampled from, with its parameters applied; else of the model's own
  std::span<const int32_t> ids{};  ///< also listed in ScoredToken::top, behind the most probable ones
};

/// As sample(), which it calls: `logits` is changed.
ScoredToken choose_token(std::span<float> logits, const SamplingParams& sampling, const ScoringParams& scoring, const ChoiceContext& at);

/// How probable `id` was.
ScoredToken score_token(std::span<const float> logits, int32_t id, const ScoringParams& scoring);

}  // namespace infernum
