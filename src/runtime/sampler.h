// Sampling of the next token from logits. A token depends only on its logits, its sequence's tokens, and (seed, position): never on its
// batch.
#pragma once
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/check.h"

namespace infernum {

class TokenCounts;

/// Applied in this order: logit_bias, penalties, tokens that are ruled out, temperature, top_k, typical_p, top_p, min_p.
struct SamplingParams {
  float temperature = 1;         ///< 0: the most probable token
  int top_k = 0;                 ///< keep the k most probable; 0: all
  float top_p = 1;               ///< keep the fewest tokens whose probabilities reach this sum (Holtzman et al. 2020)
  float min_p = 0;               ///< keep tokens at least this fraction as probable as the best (Nguyen et al. 2024)
  float typical_p = 1;           ///< keep the tokens closest to the expected surprise until their sum reaches this (Meister et al. 2023)
  float repetition_penalty = 1;  ///< divides positive and multiplies negative logits of tokens in prompt or output (Keskar et al. 2019)
  float frequency_penalty = 0;   ///< subtracted once per occurrence in the output
  float presence_penalty = 0;    ///< subtracted if the token occurs in the output
  std::unordered_map<int32_t, float> logit_bias;
  std::vector<int32_t> suppress_tokens;         ///< never chosen; an id outside of the vocabulary is none to choose
  std::vector<int32_t> allowed_token_ids;       ///< none other is chosen; empty: any
  std::vector<std::vector<int32_t>> bad_words;  ///< sequences of tokens that the output never contains
  uint64_t seed = 0;
};

/// The model computed logits of which no token can be chosen: NaN, infinity, or all of them minus infinity.
class NotFinite : public Error {
 public:
  using Error::Error;
};

/// Throws, naming the parameter, its range and the value, if one is out of range.
void check_sampling(const SamplingParams& params, int64_t vocab_size);

struct TokenLogprob {
  int32_t id;
  float logprob;  ///< natural logarithm of the probability under the model's own distribution, before any parameter is applied
};

/// What is known where a token is chosen.
struct ChoiceContext {
  std::span<const int32_t> prompt, output;
  int64_t usable;                     ///< ids from here on are padding rows of the vocabulary, never chosen
  std::span<const int32_t> banned{};  ///< not to be chosen this time
  TokenCounts* counts = nullptr;      ///< of this sequence, kept from token to token; nothing: counted anew where a penalty needs them
};

/// Whether a penalty needs to know the tokens of the sequence.
bool has_penalties(const SamplingParams& params);

/// The token for `position` (its place in the sequence, prompt included). `logits` is changed. `kept` gets the tokens that could have been,
/// with their log probabilities. Throws NotFinite if a logit is NaN or none is finite, and Error if the parameters rule every token out.
int32_t sample(std::span<float> logits, const SamplingParams& params, const ChoiceContext& at, int64_t position,
               std::vector<TokenLogprob>* kept = nullptr);

/// The log softmax of a row of logits.
class Scores {
 public:
  /// Throws NotFinite if a logit is NaN or infinite, or none is finite.
  explicit Scores(std::span<const float> logits);
  float logprob(int32_t id) const;
  /// 1: no token is more probable.
  int32_t rank(int32_t id) const;
  /// The `count` most probable tokens, in falling order.
  std::vector<TokenLogprob> top(int count) const;

 private:
  std::span<const float> logits_;
  double log_sum_;
};

TokenLogprob logprob_of(std::span<const float> logits, int32_t id);

/// A number in [0, 1) from (seed, position) alone (SplitMix64 finaliser, Steele et al. 2014).
double uniform(uint64_t seed, int64_t position);

}  // namespace infernum
