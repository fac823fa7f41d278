// TokenCounts: penalties that are kept up to date token by token change the same logits by the same bits as those counted anew.
#include "runtime/token_counts.h"

#include <gtest/gtest.h>

#include <bit>
#include <map>
#include <random>
#include <set>

#include "core/check.h"
#include "runtime/sampler.h"

namespace infernum {
namespace {

/// The definition.
void penalise(std::vector<float>& logits, const SamplingParams& s, std::span<const int32_t> prompt, std::span<const int32_t> output) {
  std::set<int32_t> seen(prompt.begin(), prompt.end());
  seen.insert(output.begin(), output.end());
  std::map<int32_t, int> count;
  for (int32_t id : output) count[id]++;
  for (int32_t id : seen) {
    float& l = logits[static_cast<size_t>(id)];
    if (s.repetition_penalty != 1) l = l > 0 ? l / s.repetition_penalty : l * s.repetition_penalty;
    if (count[id] > 0) l -= s.frequency_penalty * static_cast<float>(count[id]) + s.presence_penalty;
  }
}

TEST(TokenCounts, PenaltiesAreThoseOfTheDefinitionAtEveryToken) {
  constexpr int32_t vocab = 300;
  std::mt19937 random(7);
  const auto below = [&](int32_t n) { return static_cast<int32_t>(random() % static_cast<unsigned>(n)); };
  for (int trial = 0; trial < 60; trial++) {
    SamplingParams s;
    s.temperature = 0;
    if (trial % 2) s.repetition_penalty = 0.5f + 0.1f * static_cast<float>(below(15));
    if (trial % 3) s.frequency_penalty = -2 + 0.3f * static_cast<float>(below(13));
    if (trial % 5) s.presence_penalty = -2 + 0.3f * static_cast<float>(below(13));
    std::vector<int32_t> prompt, output;
    for (int32_t n = below(200); n > 0; n--) prompt.push_back(below(vocab));
    TokenCounts counts;
    for (int step = 0; step < 80; step++) {
      std::vector<float> logits(vocab);
      for (float& l : logits) l = static_cast<float>(below(2000) - 1000) / 64;
      auto want = logits, anew = logits;
      penalise(want, s, prompt, output);
      const int32_t id = sample(logits, s, {prompt, output, vocab, {}, &counts}, step);
      ASSERT_EQ(sample(anew, s, {prompt, output, vocab}, step), id);
      for (size_t i = 0; i < want.size(); i++) {
        ASSERT_EQ(std::bit_cast<uint32_t>(logits[i]), std::bit_cast<uint32_t>(want[i])) << "token " << i << " at " << step;
        ASSERT_EQ(std::bit_cast<uint32_t>(anew[i]), std::bit_cast<uint32_t>(want[i])) << "token " << i << " at " << step;
      }
      // Now and then several at once, or none.
      for (int32_t n = below(4); n > 0; n--) output.push_back(n == 1 ? id : below(vocab));
    }
  }
}

TEST(TokenCounts, EachTokenOccursOnce) {
  TokenCounts counts;
  counts.update(std::vector<int32_t>{3, 1, 3}, {});
  counts.update(std::vector<int32_t>{3, 1, 3}, std::vector<int32_t>{1, 9, 1});
  std::map<int32_t, int> got;
  for (const auto& e : counts.entries()) {
    EXPECT_EQ(got.count(e.id), 0u);
    got[e.id] = e.in_output;
  }
  EXPECT_EQ(got, (std::map<int32_t, int>{{1, 2}, {3, 0}, {9, 1}}));
  EXPECT_THROW(counts.update(std::vector<int32_t>{3, 1, 3}, std::vector<int32_t>{1}), Error) << "an output does not shrink";
  EXPECT_THROW(counts.update(std::vector<int32_t>{3, 1}, std::vector<int32_t>{1, 9, 1}), Error);
}

}  // namespace
}  // namespace infernum
