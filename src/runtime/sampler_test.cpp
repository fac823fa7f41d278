// The sampler against distributions worked out by hand, its determinism, and its refusals.
#include "runtime/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <string>

#include "core/check.h"

namespace infernum {
namespace {

using Logits = std::vector<float>;

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

/// Logits whose softmax is p.
Logits logits_of(const std::vector<double>& p) {
  Logits l;
  for (double x : p) l.push_back(static_cast<float>(std::log(x)));
  return l;
}

int32_t draw(Logits logits, const SamplingParams& s, int64_t position = 0, const std::vector<int32_t>& prompt = {},
             const std::vector<int32_t>& output = {}) {
  const auto usable = static_cast<int64_t>(logits.size());
  return sample(logits, s, {prompt, output, usable}, position);
}

constexpr int draws = 20000;

/// How often each token is drawn over `draws` positions.
std::vector<double> frequencies(const Logits& logits, const SamplingParams& s, const std::vector<int32_t>& prompt = {},
                                const std::vector<int32_t>& output = {}) {
  std::vector<double> f(logits.size());
  for (int64_t i = 0; i < draws; i++) f[static_cast<size_t>(draw(logits, s, i, prompt, output))] += 1. / draws;
  return f;
}

/// The draws fit p: nothing impossible was drawn, and chi square is below its 99.99 % point. The draws are fixed by the seed, so this
/// never fails by chance.
void expect_distribution(const std::vector<double>& f, const std::vector<double>& p) {
  ASSERT_EQ(f.size(), p.size());
  double chi_square = 0;
  int free = -1;
  for (size_t i = 0; i < p.size(); i++) {
    if (p[i] == 0) {
      EXPECT_EQ(f[i], 0) << "token " << i << " cannot be drawn";
      continue;
    }
    free++;
    chi_square += draws * (f[i] - p[i]) * (f[i] - p[i]) / p[i];
  }
  const double k = free;  // Wilson and Hilferty 1931
  const double limit = free == 0 ? 1e-9 : k * std::pow(1 - 2 / (9 * k) + 3.72 * std::sqrt(2 / (9 * k)), 3);
  EXPECT_LE(chi_square, limit) << "with " << free << " degrees of freedom";
}

const std::vector<double> skewed{0.05, 0.4, 0.1, 0.25, 0.2};

TEST(Sampler, GreedyTakesTheBestAndTheLowerIdOfEquals) {
  SamplingParams greedy;
  greedy.temperature = 0;
  EXPECT_EQ(draw({1, 3, 2}, greedy), 1);
  EXPECT_EQ(draw({1, 3, 3, 3}, greedy), 1);
  EXPECT_EQ(draw({-INFINITY, -7, -INFINITY}, greedy), 1);
  SamplingParams best_of_one;
  best_of_one.top_k = 1;
  for (int64_t i = 0; i < 100; i++) EXPECT_EQ(draw({1, 3, 3}, best_of_one, i), 1);
}

TEST(Sampler, DrawsTheSoftmax) {
  expect_distribution(frequencies(logits_of(skewed), {}), skewed);
  expect_distribution(frequencies(Logits(7, 3.f), {}), std::vector<double>(7, 1. / 7));
  SamplingParams other;
  other.seed = 99;
  expect_distribution(frequencies(logits_of(skewed), other), skewed);
}

TEST(Sampler, TemperatureRaisesTheProbabilitiesToAPower) {
  for (const float temperature : {0.5f, 2.f, 1e-3f, 100.f}) {
    SamplingParams s;
    s.temperature = temperature;
    std::vector<double> p;
    double sum = 0;
    for (double x : skewed) sum += p.emplace_back(std::pow(x / 0.4, 1 / static_cast<double>(temperature)));
    for (double& x : p) x = x / sum < 1e-12 ? 0 : x / sum;
    expect_distribution(frequencies(logits_of(skewed), s), p);
  }
}

TEST(Sampler, TheSmallestTemperatureIsGreedy) {
  SamplingParams s;
  for (const float temperature : {1e-20f, 1e-38f, std::numeric_limits<float>::denorm_min()}) {
    s.temperature = temperature;
    for (int64_t i = 0; i < 50; i++) {
      EXPECT_EQ(draw({1, 3, 9, 2}, s, i), 2) << temperature;
      EXPECT_EQ(draw({-5, -3, -9, -2}, s, i), 3) << temperature;
      EXPECT_EQ(draw({0, 1e30f, 2e30f}, s, i), 2) << temperature;
    }
  }
}

TEST(Sampler, TopKKeepsTheMostProbable) {
  SamplingParams s;
  s.top_k = 3;
  expect_distribution(frequencies(logits_of(skewed), s), {0, 0.4 / 0.85, 0, 0.25 / 0.85, 0.2 / 0.85});
  s.top_k = 2;
  expect_distribution(frequencies({1, 1, 1, 1}, s), {0.5, 0.5, 0, 0});
  s.top_k = 100;
  expect_distribution(frequencies(logits_of(skewed), s), skewed);
}

TEST(Sampler, TopPKeepsTheFewestThatReachIt) {
  SamplingParams s;
  s.top_p = 0.6f;  // 0.4 + 0.25 reach it
  expect_distribution(frequencies(logits_of(skewed), s), {0, 0.4 / 0.65, 0, 0.25 / 0.65, 0});
  s.top_p = 0.3f;
  expect_distribution(frequencies(logits_of(skewed), s), {0, 1, 0, 0, 0});
  s.top_p = 1e-6f;
  expect_distribution(frequencies(logits_of(skewed), s), {0, 1, 0, 0, 0});
  s.top_p = 0.94f;
  expect_distribution(frequencies(logits_of(skewed), s), {0, 0.4 / 0.95, 0.1 / 0.95, 0.25 / 0.95, 0.2 / 0.95});
}

TEST(Sampler, TopPOfManyEqualTokensKeepsTheLowestIds) {
  SamplingParams s;
  s.top_p = 0.5f;
  std::set<int32_t> drawn;
  for (int64_t i = 0; i < 4000; i++) drawn.insert(draw(Logits(400, 0.f), s, i));
  EXPECT_EQ(*drawn.rbegin(), 199) << "200 of 400 reach one half";
  EXPECT_GT(drawn.size(), 190u);
}

TEST(Sampler, MinPComparesWithTheBest) {
  SamplingParams s;
  s.min_p = 0.45f;  // at least 0.18
  expect_distribution(frequencies(logits_of(skewed), s), {0, 0.4 / 0.85, 0, 0.25 / 0.85, 0.2 / 0.85});
  s.min_p = 1;
  expect_distribution(frequencies(logits_of(skewed), s), {0, 1, 0, 0, 0});
}

TEST(Sampler, TypicalPKeepsTheExpectedSurprise) {
  // Entropy of (0.5, 0.3, 0.1, 0.1) is 1.168; surprises are 0.693, 1.204, 2.303, 2.303: token 1 first, then 0, then 2.
  const auto logits = logits_of({0.5, 0.3, 0.1, 0.1});
  SamplingParams s;
  s.typical_p = 0.25f;
  expect_distribution(frequencies(logits, s), {0, 1, 0, 0});
  s.typical_p = 0.75f;
  expect_distribution(frequencies(logits, s), {0.5 / 0.8, 0.3 / 0.8, 0, 0});
  s.typical_p = 0.85f;
  expect_distribution(frequencies(logits, s), {0.5 / 0.9, 0.3 / 0.9, 0.1 / 0.9, 0});
}

TEST(Sampler, FiltersApplyInTheirOrder) {
  // top_k leaves 0.4, 0.25, 0.2 of 0.85; top_p 0.7 of that needs the first two (0.765).
  SamplingParams s;
  s.top_k = 3;
  s.top_p = 0.7f;
  expect_distribution(frequencies(logits_of(skewed), s), {0, 0.4 / 0.65, 0, 0.25 / 0.65, 0});
  s.min_p = 0.7f;  // 0.25 / 0.4 is less
  expect_distribution(frequencies(logits_of(skewed), s), {0, 1, 0, 0, 0});
  // Temperature comes before top_p: at 2 the probabilities are nearer to each other and more of them are needed.
  SamplingParams warm;
  warm.temperature = 2;
  warm.top_p = 0.5f;
  const double root[] = {std::sqrt(0.05), std::sqrt(0.4), std::sqrt(0.1), std::sqrt(0.25), std::sqrt(0.2)};
  ASSERT_LT(root[1] / (root[0] + root[1] + root[2] + root[3] + root[4]), 0.5);
  expect_distribution(frequencies(logits_of(skewed), warm), {0, root[1] / (root[1] + root[3]), 0, root[3] / (root[1] + root[3]), 0});
}

TEST(Sampler, PenaltiesChangeTheLogits) {
  SamplingParams s;
  s.repetition_penalty = 2;
  Logits logits{4, -1, 3, 0.5f, 2};
  sample(logits, s, {std::vector<int32_t>{0, 1, 0}, std::vector<int32_t>{2, 0}, 5}, 0);
  EXPECT_EQ(logits, (Logits{2, -2, 1.5f, 0.5f, 2})) << "once per token of prompt or output";
  s = {};
  s.frequency_penalty = 0.5f;
  s.presence_penalty = 0.25f;
  logits = {4, -1, 3, 0.5f, 2};
  sample(logits, s, {std::vector<int32_t>{1, 4}, std::vector<int32_t>{2, 0, 2, 2}, 5}, 0);
  EXPECT_EQ(logits, (Logits{3.25f, -1, 1.25f, 0.5f, 2})) << "of the output alone, per occurrence and once";
  s = {};
  s.logit_bias = {{1, 5.f}, {0, -2.f}};
  s.repetition_penalty = 2;
  logits = {4, -1, 3};
  sample(logits, s, {std::vector<int32_t>{0, 1}, {}, 3}, 0);
  EXPECT_EQ(logits, (Logits{1, 2, 3})) << "bias before penalties";
}

TEST(Sampler, BiasDecides) {
  SamplingParams s;
  s.logit_bias = {{3, 100.f}};
  for (int64_t i = 0; i < 50; i++) EXPECT_EQ(draw({9, 9, 9, -9}, s, i), 3);
  s.logit_bias = {{0, -100.f}};
  s.temperature = 0;
  EXPECT_EQ(draw({9, 8, 7}, s), 1);
}

TEST(Sampler, SuppressedTokensAreNeverChosen) {
  SamplingParams s;
  s.suppress_tokens = {1, 99};
  s.logit_bias = {{1, 100.f}};
  for (int64_t i = 0; i < 200; i++) EXPECT_NE(draw({2, 9, 2}, s, i), 1);
  s.temperature = 0;
  EXPECT_EQ(draw({2, 9, 3}, s), 2);
}

TEST(Sampler, PaddingRowsAreNeverChosen) {
  Logits logits{0, 1, 2, 100, NAN};
  SamplingParams s;
  for (int64_t i = 0; i < 200; i++) {
    Logits copy = logits;
    EXPECT_LT(sample(copy, s, {{}, {}, 3}, i), 3);
  }
}

TEST(Sampler, ImpossibleTokensAreNeverChosen) {
  expect_distribution(frequencies({-INFINITY, 0, -INFINITY, 0}, {}), {0, 0.5, 0, 0.5});
  SamplingParams s;
  s.top_p = 0.999f;
  s.typical_p = 0.999f;
  s.top_k = 3;
  for (double f : {frequencies({-INFINITY, 0, -INFINITY, 0}, s)[0], frequencies({-INFINITY, 0, -INFINITY, 0}, s)[2]}) EXPECT_EQ(f, 0);
}

TEST(Sampler, DependsOnSeedAndPositionAlone) {
  const auto logits = logits_of(skewed);
  SamplingParams a, b;
  a.seed = 1;
  b.seed = 2;
  int differ = 0, move = 0;
  for (int64_t i = 0; i < 200; i++) {
    const int32_t token = draw(logits, a, i);
    for (int again = 0; again < 3; again++) ASSERT_EQ(draw(logits, a, i), token);
    differ += draw(logits, b, i) != token;
    move += draw(logits, a, i + 1) != token;
    // Earlier draws and other sequences leave no trace, and neither does the text when no penalty reads it.
    draw(Logits(100, 0.f), b, i);
    ASSERT_EQ(draw(logits, a, i, {1, 2}, {3}), token);
  }
  EXPECT_GT(differ, 50);
  EXPECT_GT(move, 50);
}

TEST(Sampler, FiltersThatKeepEverythingDoNotChangeTheToken) {
  const auto logits = logits_of(skewed);
  SamplingParams plain, wide;
  wide.top_k = 5;
  wide.top_p = 0.99999f;
  wide.typical_p = 0.99999f;
  wide.min_p = 1e-6f;
  for (int64_t i = 0; i < 500; i++) ASSERT_EQ(draw(logits, plain, i), draw(logits, wide, i)) << i;
}

TEST(Sampler, UniformIsUniform) {
  std::vector<int> buckets(64);
  double mean = 0, neighbours = 0;
  for (int64_t i = 0; i < 64000; i++) {
    const double u = uniform(5, i), next = uniform(5, i + 1);
    ASSERT_TRUE(u >= 0 && u < 1);
    buckets[static_cast<size_t>(u * 64)]++;
    mean += u / 64000;
    neighbours += (u - 0.5) * (next - 0.5) / 64000;
  }
  EXPECT_NEAR(mean, 0.5, 0.005);
  EXPECT_NEAR(neighbours, 0, 0.002) << "positions are independent";
  double chi_square = 0;
  for (int n : buckets) chi_square += (n - 1000.) * (n - 1000.) / 1000;
  EXPECT_LT(chi_square, 120);
  double seeds = 0;
  for (uint64_t s = 0; s < 10000; s++) seeds += (uniform(s, 0) - 0.5) * (uniform(s + 1, 0) - 0.5) / 10000;
  EXPECT_NEAR(seeds, 0, 0.005) << "seeds are independent";
}

TEST(Sampler, NanAndInfinityAreErrors) {
  for (const float temperature : {0.f, 1.f}) {
    SamplingParams s;
    s.temperature = temperature;
    const auto nan = error_of([&] { draw({1, NAN, 2}, s, 17); });
    EXPECT_NE(nan.find("returned NaN: token 1 position 17"), std::string::npos) << nan;
    EXPECT_THROW(draw({1, NAN, 2}, s, 17), NotFinite);
    for (const Logits& logits : {Logits{1, INFINITY}, Logits(3, -INFINITY)}) {
      const auto message = error_of([&] { draw(logits, s, 4); });
      EXPECT_NE(message.find("no token has a finite logit: position 4"), std::string::npos) << message;
      EXPECT_THROW(draw(logits, s, 4), NotFinite);
    }
  }
}

TEST(Sampler, ParametersHaveRanges) {
  const auto message = [](const std::function<void(SamplingParams&)>& change) {
    SamplingParams s;
    change(s);
    return error_of([&] { check_sampling(s, 10); });
  };
  struct Case {
    const char* name;
    float SamplingParams::*field;
    std::vector<float> good, bad;
  };
  const std::vector<Case> cases{{"temperature", &SamplingParams::temperature, {0, 1, 100}, {-0.1f, 100.5f}},
                                {"top_p", &SamplingParams::top_p, {1e-6f, 1}, {0, -1, 1.1f}},
                                {"min_p", &SamplingParams::min_p, {0, 1}, {-0.1f, 1.1f}},
                                {"typical_p", &SamplingParams::typical_p, {1e-6f, 1}, {0, 1.1f}},
                                {"repetition_penalty", &SamplingParams::repetition_penalty, {0.1f, 100}, {0, -1, 101}},
                                {"frequency_penalty", &SamplingParams::frequency_penalty, {-2, 2}, {-2.1f, 2.1f}},
                                {"presence_penalty", &SamplingParams::presence_penalty, {-2, 2}, {-2.1f, 2.1f}}};
  for (const Case& c : cases) {
    for (float value : c.good) EXPECT_EQ(message([&](auto& s) { s.*c.field = value; }), "no error") << c.name << " " << value;
    auto bad = c.bad;
    bad.insert(bad.end(), {NAN, INFINITY, -INFINITY});
    for (float value : bad) {
      const auto text = message([&](auto& s) { s.*c.field = value; });
      EXPECT_NE(text.find(c.name), std::string::npos) << text;
      EXPECT_NE(text.find(describe(value)), std::string::npos) << text;
    }
  }
  EXPECT_NE(message([](auto& s) { s.top_k = -1; }).find("top_k"), std::string::npos);
  EXPECT_NE(message([](auto& s) { s.logit_bias = {{10, 1.f}}; }).find("outside of the vocabulary: 10 10"), std::string::npos);
  EXPECT_NE(message([](auto& s) { s.logit_bias = {{-1, 1.f}}; }).find("outside of the vocabulary: -1 10"), std::string::npos);
  EXPECT_NE(message([](auto& s) { s.logit_bias = {{3, 101.f}}; }).find("3 101"), std::string::npos);
  EXPECT_NE(message([](auto& s) { s.logit_bias = {{3, NAN}}; }).find("logit_bias"), std::string::npos);
  EXPECT_EQ(message([](auto& s) { s.logit_bias = {{9, -100.f}}; }), "no error");
}

TEST(Sampler, LogprobsAreThoseOfTheModel) {
  const auto logits = logits_of(skewed);
  for (int32_t id = 0; id < 5; id++) EXPECT_NEAR(logprob_of(logits, id).logprob, std::log(skewed[static_cast<size_t>(id)]), 1e-6);
  Logits shifted = logits;
  for (float& l : shifted) l += 1000;
  EXPECT_NEAR(logprob_of(shifted, 1).logprob, std::log(0.4), 1e-4) << "large logits do not overflow";
  const Logits equal{1, 1, 1}, one{-INFINITY, 0};
  const auto top = Scores(logits).top(3);
  ASSERT_EQ(top.size(), 3u);
  EXPECT_EQ(top[0].id, 1);
  EXPECT_EQ(top[1].id, 3);
  EXPECT_EQ(top[2].id, 4);
  EXPECT_NEAR(top[2].logprob, std::log(0.2), 1e-6);
  EXPECT_EQ(Scores(logits).top(100).size(), 5u);
  EXPECT_TRUE(Scores(logits).top(0).empty());
  EXPECT_EQ(Scores(equal).top(2)[1].id, 1) << "equals in the order of their ids";
  EXPECT_EQ(Scores(one).top(2)[1].logprob, -INFINITY);
  for (const Logits& bad : {Logits{1, NAN, 2}, Logits{1, INFINITY}, Logits(2, -INFINITY)}) {
    EXPECT_NE(error_of([&] { logprob_of(bad, 0); }).find("logprobs: "), std::string::npos);
    EXPECT_NE(error_of([&] { Scores(bad).top(2); }).find("logprobs: "), std::string::npos);
  }
}

}  // namespace
}  // namespace infernum
