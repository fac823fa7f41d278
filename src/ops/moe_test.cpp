// RouteSoftmax and CombineExperts against their definitions: ties, NaN, both ways of normalising.
#include "ops/moe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "ops/test_support.h"

namespace infernum {
namespace {

using test::CpuFixture;
using test::error_of;

std::vector<int32_t> ints_of(const Tensor<Cpu>& t) { return {t.view().as<int32_t>(), t.view().as<int32_t>() + t.shape().elements()}; }

class MoeTest : public testing::TestWithParam<std::tuple<Isa, DType>> {
 protected:
  Isa isa = std::get<0>(GetParam());
  DType dtype = std::get<1>(GetParam());
  CpuFixture cpu{isa};
};

TEST_P(MoeTest, RoutesToTheMostProbable) {
  for (const auto& [tokens, experts, chosen] :
       std::vector<std::tuple<int64_t, int64_t, int64_t>>{{1, 1, 1}, {5, 8, 2}, {40, 128, 8}, {3, 7, 7}})
    for (const bool renormalise : {false, true}) {
      const auto logits = cpu.random({tokens, experts}, dtype, 4);
      const auto x = to_host(cpu.queue, logits.view());
      test::poison(cpu.queue, {tokens, chosen}, DType::F32);
      const auto routing = route_softmax(logits, chosen, renormalise);
      const auto ids = ints_of(routing.ids);
      const auto weights = to_host(cpu.queue, routing.weights.view());
      for (int64_t t = 0; t < tokens; t++) {
        const float* row = x.data() + t * experts;
        std::vector<int32_t> order(static_cast<size_t>(experts));
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return row[a] > row[b]; });
        double total = 0, kept = 0;
        for (int64_t e = 0; e < experts; e++) total += std::exp(static_cast<double>(row[e]));
        for (int64_t s = 0; s < chosen; s++) kept += std::exp(static_cast<double>(row[order[static_cast<size_t>(s)]])) / total;
        for (int64_t s = 0; s < chosen; s++) {
          const auto i = static_cast<size_t>(t * chosen + s);
          ASSERT_EQ(ids[i], order[static_cast<size_t>(s)]) << "token " << t << " slot " << s;
          const double p = std::exp(static_cast<double>(row[ids[i]])) / total;
          ASSERT_NEAR(weights[i], renormalise ? p / kept : p, 1e-6);
        }
      }
    }
}

TEST_P(MoeTest, TiesGoToTheLowerId) {
  const auto logits = cpu.tensor<Full>({2, 6}, dtype, {1, 2, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0});
  EXPECT_EQ(ints_of(route_softmax(logits, 4, true).ids), (std::vector<int32_t>{1, 2, 4, 0, 0, 1, 2, 3}));
}

TEST_P(MoeTest, NanAndInfinityKeepIdsValidAndReachTheWeights) {
  for (const std::vector<float>& row :
       {std::vector<float>{1, NAN, 2, NAN, 0, 3, NAN}, std::vector<float>(7, NAN), std::vector<float>(7, -INFINITY),
        std::vector<float>{NAN, 5, 4, 3, 2, 1, 0}, std::vector<float>{1, INFINITY, 2, 3, -INFINITY, 0, 1}})
    for (int64_t chosen : {1, 3, 7}) {
      const auto routing = route_softmax(cpu.tensor<Full>({1, 7}, dtype, row), chosen, true);
      const auto ids = ints_of(routing.ids);
      EXPECT_EQ(std::set<int32_t>(ids.begin(), ids.end()).size(), static_cast<size_t>(chosen)) << "an expert is chosen once";
      for (int32_t id : ids) ASSERT_TRUE(id >= 0 && id < 7);
      // What cannot be a probability is not passed off as one: it reaches the logits, where the sampler reports it.
      const auto weights = to_host(cpu.queue, routing.weights.view());
      EXPECT_TRUE(std::any_of(weights.begin(), weights.end(), [](float w) { return std::isnan(w); }));
    }
  const auto routing = route_softmax(cpu.tensor<Full>({1, 4}, dtype, {NAN, 1, 2, NAN}), 2, false);
  EXPECT_EQ(ints_of(routing.ids), (std::vector<int32_t>{2, 1})) << "numbers come before NaN";
}

TEST_P(MoeTest, CombineIsTheWeightedSum) {
  for (const auto& [tokens, width] : test::odd_sizes())
    for (const int64_t chosen : {1, 3}) {
      const auto x = cpu.random<Partial>({tokens * chosen, width}, dtype, 8);
      const auto w = cpu.random({tokens, chosen}, DType::F32, 9);
      test::poison(cpu.queue, {tokens, width}, dtype);
      const auto got = to_host(cpu.queue, combine_experts(x, w).view());
      const auto in = to_host(cpu.queue, x.view()), weights = to_host(cpu.queue, w.view());
      for (int64_t t = 0; t < tokens; t++)
        for (int64_t c = 0; c < width; c++) {
          double want = 0, size = 0;
          for (int64_t s = 0; s < chosen; s++) {
            const double term = static_cast<double>(weights[static_cast<size_t>(t * chosen + s)]) *
                                static_cast<double>(in[static_cast<size_t>((t * chosen + s) * width + c)]);
            want += term;
            size += std::abs(term);
          }
          ASSERT_NEAR(got[static_cast<size_t>(t * width + c)], want,
                      std::abs(want) * test::unit_roundoff(dtype) + size * 5e-7 + (dtype == DType::F16 ? 0x1p-24 : 0))
              << t << ", " << c;
        }
    }
}

TEST_P(MoeTest, ReadsColumnsOfWiderTensors) {
  const auto wide = cpu.random({6, 90}, dtype, 3);
  const auto part = wide.columns(17, 57), whole = cpu.tensor<Full>({6, 40}, dtype, to_host(cpu.queue, part.view()));
  const auto a = route_softmax(part, 3, true), b = route_softmax(whole, 3, true);
  EXPECT_EQ(ints_of(a.ids), ints_of(b.ids));
  EXPECT_EQ(to_host(cpu.queue, a.weights.view()), to_host(cpu.queue, b.weights.view()));
  const auto w = cpu.random({2, 3}, DType::F32, 4);
  EXPECT_EQ(to_host(cpu.queue, combine_experts(part, w).view()), to_host(cpu.queue, combine_experts(whole, w).view()));
}

TEST_P(MoeTest, ExpertBiasIsThatOfTheRowsExpert) {
  for (const auto& [tokens, width] : test::odd_sizes())
    for (const int64_t chosen : {1, 3}) {
      const int64_t experts = 5, rows = tokens * chosen;
      const auto x = cpu.random<Partial>({rows, width}, dtype, 11);
      const auto bias = cpu.random({experts, width}, DType::F32, 12);
      std::vector<int32_t> experts_of;
      for (int64_t p = 0; p < rows; p++) experts_of.push_back(static_cast<int32_t>(p * 7 % experts));
      const auto ids = cpu.ints(experts_of).reshape({tokens, chosen});
      test::poison(cpu.queue, x.shape(), dtype);
      const auto got = to_host(cpu.queue, add_expert_bias(x, bias, ids).view());
      const auto in = to_host(cpu.queue, x.view()), b = to_host(cpu.queue, bias.view());
      for (int64_t p = 0; p < rows; p++)
        for (int64_t c = 0; c < width; c++) {
          const auto i = static_cast<size_t>(p * width + c);
          const double u = in[i], v = b[static_cast<size_t>(experts_of[static_cast<size_t>(p)] * width + c)];
          ASSERT_NEAR(got[i], u + v, std::abs(u + v) * (test::unit_roundoff(dtype) + 1e-7) + (dtype == DType::F16 ? 0x1p-24 : 0))
              << p << ", " << c;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(All, MoeTest,
                         testing::Combine(testing::ValuesIn(test::isa_levels()), testing::Values(DType::F32, DType::F16, DType::BF16)));

TEST(Moe, ErrorsNameTheNumbers) {
  CpuFixture cpu;
  const auto logits = cpu.filled({2, 4}, DType::F32, 0);
  for (int64_t top_k : {0, 5, -1})
    EXPECT_NE(error_of([&] { route_softmax(logits, top_k, true); }).find(std::to_string(top_k) + " (2, 4)"), std::string::npos) << top_k;
  EXPECT_NE(error_of([&] { combine_experts(logits, cpu.filled({3, 1}, DType::F32, 0)); }).find("(2, 4) (3, 1)"), std::string::npos);
  const auto ids = cpu.ints({0, 1});
  EXPECT_NE(error_of([&] { add_expert_bias(logits, cpu.filled({3, 5}, DType::F32, 0), ids); }).find("(2, 4) (3, 5)"), std::string::npos);
  EXPECT_NE(error_of([&] { add_expert_bias(logits, cpu.filled({3, 4}, DType::F16, 0), ids); }).find("F16"), std::string::npos);
  EXPECT_NE(error_of([&] {
              add_expert_bias(logits, cpu.filled({3, 4}, DType::F32, 0), cpu.ints({0}));
            }).find("(2, 4) (1)"),
            std::string::npos);
}

}  // namespace
}  // namespace infernum
