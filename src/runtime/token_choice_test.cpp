// Choice and scoring of tokens: what is ruled out, which distribution is told of, and the passes over a whole vocabulary.
#include "runtime/token_choice.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/check.h"
#include "runtime/vocabulary_scan.h"

namespace infernum {
namespace {

std::vector<float> random_logits(size_t count, unsigned seed, float spread) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(count);
  for (float& l : logits) l = normal(rng);
  return logits;
}

ScoredToken choose(std::vector<float> logits, const SamplingParams& s, const ScoringParams& scoring = {},
                   const std::vector<int32_t>& output = {}, const std::vector<int32_t>& banned = {}) {
  const auto usable = static_cast<int64_t>(logits.size());
  return choose_token(logits, s, scoring, {{}, output, usable, banned});
}

SamplingParams greedy() {
  SamplingParams s;
  s.temperature = 0;
  return s;
}

TEST(TokenChoice, OnlyAllowedTokensAreChosen) {
  SamplingParams s = greedy();
  s.allowed_token_ids = {0, 3, 3};
  EXPECT_EQ(choose({1, 9, 8, 2}, s).id, 3);
  s.temperature = 1;
  for (uint64_t seed = 0; seed < 100; seed++) {
    s.seed = seed;
    const int32_t id = choose({1, 9, 8, 2}, s).id;
    EXPECT_TRUE(id == 0 || id == 3);
  }
  s.suppress_tokens = {0, 3};
  try {
    choose({1, 9, 8, 2}, s);
    FAIL();
  } catch (const NotFinite&) {
    FAIL() << "the model is not to blame";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("rules out every token"), std::string::npos);
  }
}

TEST(TokenChoice, BadWordsAreNeverCompleted) {
  SamplingParams s = greedy();
  s.bad_words = {{1, 2}, {3}};
  const std::vector<float> logits{0, 5, 9, 10};
  EXPECT_EQ(choose(logits, s).id, 2) << "3 is a bad word by itself";
  EXPECT_EQ(choose(logits, s, {}, {1}).id, 1) << "2 would complete one";
  EXPECT_EQ(choose(logits, s, {}, {1, 0}).id, 2);
}

TEST(TokenChoice, BannedTokensAreNotChosenThisTime) {
  EXPECT_EQ(choose({1, 9, 8}, greedy(), {}, {}, {1, -5, 99}).id, 2);
  EXPECT_EQ(choose({1, 9, 8}, greedy()).id, 1);
}

TEST(TokenChoice, ScoresAreTheModelsOwnOrThoseSampledFrom) {
  const std::vector<float> logits{std::log(0.5f), std::log(0.25f), std::log(0.125f), std::log(0.125f)};
  SamplingParams s;
  s.top_k = 2;
  s.suppress_tokens = {0};
  const ScoredToken own = choose(logits, s, {3}), processed = choose(logits, s, {3, true});
  EXPECT_EQ(own.id, processed.id);
  ASSERT_EQ(own.top.size(), 3u);
  EXPECT_EQ(own.top[0].id, 0);
  EXPECT_NEAR(own.top[0].logprob, std::log(0.5), 1e-6);
  EXPECT_EQ(processed.top[0].id, 1);
  EXPECT_NEAR(processed.top[0].logprob, std::log(2. / 3), 1e-6);
  EXPECT_NEAR(processed.top[1].logprob, std::log(1. / 3), 1e-6);
  EXPECT_EQ(processed.top[2].logprob, -INFINITY) << "out of top_k";
  EXPECT_NEAR(*own.logprob, std::log(own.id == 1 ? 0.25 : 0.125), 1e-6);
  EXPECT_EQ(own.rank, own.id == 1 ? 2 : 3) << "equals have the same rank";
}

TEST(TokenChoice, ScoresNamedTokensToo) {
  const std::vector<float> logits{0, 1, 2, 3};
  const std::vector<int32_t> ids{0, 3};
  const ScoredToken token = score_token(logits, 1, {1, false, ids});
  ASSERT_EQ(token.top.size(), 3u);
  EXPECT_EQ(token.top[0].id, 3);
  EXPECT_EQ(token.top[1].id, 0);
  EXPECT_EQ(token.top[2].id, 3);
  EXPECT_EQ(token.top[2].logprob, token.top[0].logprob) << "the same number wherever it is told";
  EXPECT_EQ(token.rank, 3);
  EXPECT_FALSE(score_token(logits, 1, {}).logprob);
}

TEST(VocabularyScan, WeightsAreExponentials) {
  for (const float temperature : {1.f, 0.3f, 3.f}) {
    const auto logits = random_logits(5003, 1, 8);
    const float best = best_logit(logits).value;
    double total = 0;
    for (float l : logits) total += std::exp(static_cast<double>(l - best) / static_cast<double>(temperature));
    const Weights weights(logits, best, temperature);
    EXPECT_NEAR(weights.total() / total, 1, 1e-6);
    for (const double share : {0., 0.1, 0.5, 0.9, 0.999}) {
      double sum = 0;
      int32_t want = -1;
      for (size_t i = 0; want < 0; i++)
        if ((sum += std::exp(static_cast<double>(logits[i] - best) / static_cast<double>(temperature))) > share * total)
          want = static_cast<int32_t>(i);
      EXPECT_EQ(weights.pick(share), want) << share;
      double mass = 0;
      for (float l : logits)
        if (l >= weights.threshold(share)) mass += std::exp(static_cast<double>(l - best) / static_cast<double>(temperature));
      EXPECT_GE(mass, share * total);
    }
    EXPECT_GE(weights.pick(0.9999999999), 0);
  }
}

TEST(VocabularyScan, FindsTheBestAndEveryNan) {
  for (size_t n : {1u, 15u, 16u, 17u, 1000u}) {
    auto logits = random_logits(n, static_cast<unsigned>(n), 1);
    const auto want = std::max_element(logits.begin(), logits.end()) - logits.begin();
    EXPECT_EQ(best_logit(logits).id, want);
    for (size_t i : {size_t{0}, n / 2, n - 1}) {
      const float before = std::exchange(logits[i], NAN);
      EXPECT_TRUE(best_logit(logits).nan);
      logits[i] = before;
    }
    EXPECT_FALSE(best_logit(logits).nan);
  }
  EXPECT_EQ(best_logit(std::vector<float>(40, -INFINITY)).id, -1);
}

/// The filters look at a part of the vocabulary; the plain definition sorts all of it.
TEST(VocabularyScan, PartialPassesChooseAsTheDefinitionDoes) {
  for (unsigned seed = 0; seed < 60; seed++) {
    const auto logits = random_logits(3000, seed, seed % 3 ? 2.f : 6.f);
    SamplingParams s;
    s.seed = seed;
    s.temperature = 0.5f + static_cast<float>(seed % 4) / 2;
    if (seed % 2) s.top_k = static_cast<int>(1 + seed * 40);
    if (seed % 5) s.top_p = 0.2f * static_cast<float>(seed % 5);
    if (seed % 7 == 0) s.min_p = 0.05f;
    std::vector<std::pair<double, int32_t>> c;
    for (size_t i = 0; i < logits.size(); i++) c.emplace_back(-static_cast<double>(logits[i]) / static_cast<double>(s.temperature), i);
    std::sort(c.begin(), c.end());
    if (s.top_k > 0 && static_cast<size_t>(s.top_k) < c.size()) c.resize(static_cast<size_t>(s.top_k));
    double total = 0, sum = 0;
    for (const auto& [l, id] : c) total += std::exp(-l + c[0].first);
    size_t kept = 0;
    while (kept < c.size() && (kept == 0 || sum < static_cast<double>(s.top_p) * total)) sum += std::exp(-c[kept++].first + c[0].first);
    if (s.top_p < 1) c.resize(kept);
    std::erase_if(c, [&](const auto& x) { return std::exp(-x.first + c[0].first) < static_cast<double>(s.min_p); });
    std::vector<TokenLogprob> got;
    auto copy = logits;
    sample(copy, s, {{}, {}, 3000}, 3, &got);
    ASSERT_EQ(got.size(), c.size()) << seed;
    std::sort(c.begin(), c.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    for (size_t i = 0; i < got.size(); i++) ASSERT_EQ(got[i].id, c[i].second) << seed;
  }
}

/// Locally typical sampling by its definition: everything is sorted. The same tokens with the same bits.
TEST(VocabularyScan, TypicalTokensAreThoseOfTheDefinition) {
  for (unsigned seed = 0; seed < 40; seed++) {
    auto logits = random_logits(4000, seed, seed % 4 ? 2.f : 9.f);
    for (size_t i = 0; i < logits.size(); i += seed % 3 ? 7 : 2) logits[i] = logits[i / 2];  // equal surprises: the lower id first
    if (seed % 5 == 0) std::fill_n(logits.begin() + 100, 50, -INFINITY);
    SamplingParams s;
    s.seed = seed;
    s.temperature = 0.5f + static_cast<float>(seed % 4) / 2;
    s.typical_p = seed % 6 ? 0.16f * static_cast<float>(seed % 6) : 0.999f;
    struct Token {
      int32_t id;
      double p, distance;
    };
    std::vector<Token> c;
    const float best = *std::max_element(logits.begin(), logits.end());
    for (size_t i = 0; i < logits.size(); i++)
      if (logits[i] > -INFINITY)
        c.push_back({static_cast<int32_t>(i), std::exp(static_cast<double>((logits[i] - best) / s.temperature)), 0});
    const auto normalise = [&] {
      double sum = 0;
      for (const Token& t : c) sum += t.p;
      for (Token& t : c) t.p /= sum;
    };
    normalise();
    double entropy = 0, sum = 0;
    for (const Token& t : c) entropy -= t.p > 0 ? t.p * std::log(t.p) : 0;
    for (Token& t : c) t.distance = std::abs(-std::log(std::max(t.p, 1e-300)) - entropy);
    std::sort(c.begin(), c.end(), [](const Token& a, const Token& b) { return std::pair(a.distance, a.id) < std::pair(b.distance, b.id); });
    size_t kept = 0;
    while (kept < c.size() && (kept == 0 || sum < static_cast<double>(s.typical_p))) sum += c[kept++].p;
    c.resize(kept);
    std::sort(c.begin(), c.end(), [](const Token& a, const Token& b) { return a.id < b.id; });
    float highest = -INFINITY;
    for (const Token& t : c) highest = std::max(highest, (logits[static_cast<size_t>(t.id)] - best) / s.temperature);
    for (Token& t : c)
      t.p = std::exp(static_cast<double>((logits[static_cast<size_t>(t.id)] - best) / s.temperature) - static_cast<double>(highest));
    normalise();
    std::vector<TokenLogprob> got;
    sample(logits, s, {{}, {}, 4000}, 3, &got);
    ASSERT_EQ(got.size(), c.size()) << seed;
    for (size_t i = 0; i < got.size(); i++) {
      ASSERT_EQ(got[i].id, c[i].id) << seed;
      ASSERT_EQ(got[i].logprob, static_cast<float>(std::log(c[i].p))) << seed;
    }
  }
}

}  // namespace
}  // namespace infernum
