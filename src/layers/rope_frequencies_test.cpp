#include "layers/rope_frequencies.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/check.h"

namespace infernum {
namespace {

using Expected = std::vector<std::pair<size_t, double>>;

void expect_frequencies(const RopeConfig& c, const Expected& expected, int64_t context = 1) {
  const auto f = rope_frequencies(c, context).exact;
  ASSERT_EQ(static_cast<int64_t>(f.size()), c.rotary_dim / 2);
  for (const auto& [i, value] : expected) EXPECT_NEAR(f[i] / value, 1, 1e-6) << c.rope_type << " " << i;
}

RopeConfig config(const char* type, int64_t dim, double theta, double factor, int64_t original) {
  RopeConfig c;
  c.rope_type = type;
  c.rotary_dim = dim;
  c.rope_theta = theta;
  c.factor = factor;
  c.original_max_position_embeddings = original;
  return c;
}

// Values of the reference implementation, in double precision.
TEST(RopeFrequencies, Llama3) {
  expect_frequencies(config("llama3", 128, 5e5, 8, 8192), {{1, .8146172},
                                                           {28, .003211446},
                                                           {29, .002166571},
                                                           {30, .001371894},
                                                           {32, .0005248462},
                                                           {34, .0001785078},
                                                           {35, 9.556212e-05},
                                                           {63, 3.068926e-07}});
  expect_frequencies(config("llama3", 64, 5e5, 32, 8192),
                     {{14, .003211446}, {15, .001290548}, {16, .0004295568}, {17, 9.708288e-05}, {18, 1.946164e-05}, {31, 9.418307e-08}});
  auto equal = config("llama3", 64, 5e5, 8, 8192);
  equal.low_freq_factor = equal.high_freq_factor = 4;  // no band to blend in
  EXPECT_NEAR(rope_frequencies(equal, 1).exact[31] * 8, std::pow(5e5, -62. / 64), 1e-12);
}

TEST(RopeFrequencies, Yarn) {
  auto oss = config("yarn", 64, 150000, 32, 4096);
  expect_frequencies(oss, {{9, .03162075}, {12, .007015714}, {16, .0005809475}, {17, .0002279478}});
  oss.truncate = false;
  expect_frequencies(oss, {{8, .05081327}, {9, .0317057}, {12, .006794959}, {16, .0004564839}, {17, .0001293187}, {18, 3.830881e-05}});
  EXPECT_NEAR(rope_frequencies(oss, 1).scale, 1.346574, 1e-6);
  auto deepseek = config("yarn", 64, 1e4, 40, 4096);
  deepseek.mscale = deepseek.mscale_all_dim = 1;
  expect_frequencies(deepseek,
                     {{9, .07498942}, {11, .03900693}, {15, .008334509}, {20, .0007905694}, {22, .0001778279}, {23, 3.333804e-05}});
  EXPECT_EQ(rope_frequencies(deepseek, 1).scale, 1);
  const auto qwen = config("yarn", 128, 1e6, 4, 32768);
  expect_frequencies(qwen, {{22, .008659643}, {24, .005375321}, {30, .001064361}, {39, 6.490394e-05}, {40, 4.445699e-05}});
  EXPECT_NEAR(rope_frequencies(qwen, 1).scale, 1.138629, 1e-6);
}

TEST(RopeFrequencies, LinearAndDynamic) {
  expect_frequencies(config("linear", 64, 1e4, 4, 0), {{0, .25}});
  auto dynamic = config("dynamic", 128, 1e4, 2, 4096);
  dynamic.max_position_embeddings = 4096;
  expect_frequencies(dynamic, {{1, std::pow(30527.737, -2. / 128)}}, 8192);
  expect_frequencies(dynamic, {{1, std::pow(1e4, -2. / 128)}}, 100);
}

TEST(RopeFrequencies, LongropeChoosesByContextAndDivisorsDivide) {
  auto c = config("longrope", 4, 1e4, 32, 4096);
  c.short_factor = {1, 2};
  c.long_factor = {4, 8};
  expect_frequencies(c, {{0, 1}, {1, .01 / 2}}, 4096);
  expect_frequencies(c, {{0, .25}, {1, .01 / 8}}, 4097);
  EXPECT_NEAR(rope_frequencies(c, 1).scale, 1.190238, 1e-6);
  auto divided = config("default", 4, 1e4, 1, 0);
  divided.inv_freq_divisors = {1, 32};
  expect_frequencies(divided, {{0, 1}, {1, .01 / 32}});
}

TEST(RopeFrequencies, ImpossibleParametersAreRefused) {
  EXPECT_THROW(rope_frequencies(config("default", 7, 1e4, 1, 0), 1), Error);
  EXPECT_THROW(rope_frequencies(config("yarn", 64, 1e4, 4, 0), 1), Error);
  EXPECT_THROW(rope_frequencies(config("ntk", 64, 1e4, 4, 1), 1), Error);
  auto c = config("longrope", 4, 1e4, 2, 16);
  c.short_factor = {1};
  EXPECT_THROW(rope_frequencies(c, 1), Error);
}

}  // namespace
}  // namespace infernum
