// Route against its definition in double precision: every scoring, groups, biases, ties, NaN.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "ops/cuda_test_support.h"
#include "ops/moe.h"

namespace infernum {
namespace {

using test::CpuFixture;
using test::error_of;
using test::Fixture;

template <class B>
std::vector<int32_t> ints_of(Fixture<B>& on, const Tensor<B>& t) {
  const auto values = to_host(on.queue, t.view());
  return {values.begin(), values.end()};
}

/// The indices of the n largest keys, the lower one first among equals.
std::vector<size_t> largest(const std::vector<double>& keys, size_t n) {
  std::vector<size_t> order(keys.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return keys[a] > keys[b]; });
  order.resize(n);
  return order;
}

struct Choice {
  std::vector<size_t> ids;
  std::vector<double> weights;
};

Choice expected(const float* logits, size_t experts, const std::vector<float>& bias, const RouteParams& p) {
  std::vector<double> s(experts), choice(experts);
  double total = 0;
  for (size_t e = 0; e < experts; e++) total += std::exp(static_cast<double>(logits[e]));
  for (size_t e = 0; e < experts; e++) {
    const double x = logits[e];
    s[e] = p.scoring == RouteParams::Sigmoid ? 1 / (1 + std::exp(-x)) : std::exp(x) / total;
    choice[e] = s[e] + (bias.empty() ? 0 : static_cast<double>(bias[e]));
  }
  const auto groups = static_cast<size_t>(p.groups), size = experts / groups;
  std::vector<double> group_scores;
  for (size_t g = 0; g < groups; g++) {
    std::vector<double> members(choice.begin() + static_cast<std::ptrdiff_t>(g * size),
                                choice.begin() + static_cast<std::ptrdiff_t>((g + 1) * size));
    std::sort(members.rbegin(), members.rend());
    group_scores.push_back(p.group_score == RouteParams::Max ? members[0] : members[0] + members[1]);
  }
  const auto kept = largest(group_scores, static_cast<size_t>(p.kept_groups));
  for (size_t e = 0; e < experts; e++)
    if (std::find(kept.begin(), kept.end(), e / size) == kept.end()) choice[e] = -INFINITY;
  Choice c{largest(choice, static_cast<size_t>(p.top_k)), {}};
  double sum = 0;
  for (size_t e : c.ids) sum += s[e];
  for (size_t e : c.ids) c.weights.push_back(s[e] / (p.renormalise ? sum : 1) * static_cast<double>(p.scale));
  return c;
}

/// Distinct logits in every type, so that the order does not depend on rounding.
template <class B>
Tensor<B> distinct(Fixture<B>& on, DType dtype, int64_t tokens, int64_t experts) {
  std::vector<float> values;
  for (int64_t t = 0; t < tokens; t++)
    for (int64_t e = 0; e < experts; e++) values.push_back(static_cast<float>((e * 37 + t * 11) % experts) * 0.03125f - 2);
  return on.template tensor<Full>({tokens, experts}, dtype, values);
}

template <class B>
void expect_routed(Fixture<B>& on, DType dtype, int64_t tokens, int64_t experts, bool biased, const RouteParams& p) {
  const auto logits = distinct(on, dtype, tokens, experts);
  // Multiples of 1/64 that differ from each other by more than f32 rounding does; some are negative.
  std::vector<float> bias;
  for (int64_t e = 0; biased && e < experts; e++) bias.push_back(static_cast<float>((e * 29) % 23 - 11) / 64);
  std::optional<Tensor<B>> b;
  if (biased) b = on.template tensor<Full>({experts}, DType::F32, bias);
  test::poison(on.queue, {tokens, p.top_k}, DType::F32);
  const auto routing = route(logits, b, p);
  const auto ids = ints_of(on, routing.ids);
  const auto weights = to_host(on.queue, routing.weights.view()), x = to_host(on.queue, logits.view());
  for (int64_t t = 0; t < tokens; t++) {
    const auto want = expected(x.data() + t * experts, static_cast<size_t>(experts), bias, p);
    for (size_t s = 0; s < want.ids.size(); s++) {
      const auto i = static_cast<size_t>(t) * want.ids.size() + s;
      ASSERT_EQ(ids[i], static_cast<int32_t>(want.ids[s])) << "token " << t << " slot " << s;
      ASSERT_NEAR(weights[i], want.weights[s], want.weights[s] * 2e-6) << "token " << t << " slot " << s;
    }
  }
}

template <class B>
void route_equals_the_definition(Fixture<B>& on, DType dtype) {
  for (const auto scoring : {RouteParams::Softmax, RouteParams::Sigmoid})
    for (const bool renormalise : {false, true})
      for (const bool biased : {false, true})
        for (const float scale : {1.f, 2.5f}) {
          const auto with = [&](int top_k) { return RouteParams{top_k, scoring, 1, 1, RouteParams::Max, renormalise, scale}; };
          expect_routed(on, dtype, 1, 1, biased, with(1));
          expect_routed(on, dtype, 5, 8, biased, with(2));
          expect_routed(on, dtype, 3, 7, biased, with(7));
          expect_routed(on, dtype, 40, 128, biased, with(8));
        }
}

template <class B>
void route_chooses_within_the_best_groups(Fixture<B>& on, DType dtype) {
  for (const auto scoring : {RouteParams::Softmax, RouteParams::Sigmoid})
    for (const auto group_score : {RouteParams::Max, RouteParams::SumOfTwo})
      for (const bool biased : {false, true})
        for (const auto& [experts, groups, kept, top_k] :
             std::vector<std::tuple<int, int, int, int>>{{8, 4, 1, 2}, {8, 4, 4, 3}, {64, 8, 4, 6}, {160, 8, 3, 60}, {6, 3, 2, 1}})
          for (const bool renormalise : {false, true})
            expect_routed(on, dtype, 9, experts, biased,
                          RouteParams{top_k, scoring, groups, kept, group_score, renormalise, renormalise ? 2.5f : 16});
}

template <class B>
void route_a_group_is_judged_as_asked(Fixture<B>& on, DType dtype) {
  // Group 0 holds the largest logit, group 1 the two largest together.
  const auto logits = on.template tensor<Full>({1, 4}, dtype, {3, -9, 2, 2});
  RouteParams p{2, RouteParams::Sigmoid, 2, 1, RouteParams::Max, false, 1};
  EXPECT_EQ(ints_of(on, route(logits, {}, p).ids), (std::vector<int32_t>{0, 1}));
  p.group_score = RouteParams::SumOfTwo;
  EXPECT_EQ(ints_of(on, route(logits, {}, p).ids), (std::vector<int32_t>{2, 3}));
}

template <class B>
void route_an_excluded_group_is_never_chosen(Fixture<B>& on, DType dtype) {
  // All of the kept group scores below 0: an excluded expert counted as 0 would come first.
  const auto logits = on.template tensor<Full>({1, 4}, dtype, {-1, -1, -2, -3});
  const auto bias = on.template tensor<Full>({4}, DType::F32, {-2, -2, -5, -5});
  const RouteParams p{2, RouteParams::Sigmoid, 2, 1, RouteParams::SumOfTwo, true, 1};
  EXPECT_EQ(ints_of(on, route(logits, bias, p).ids), (std::vector<int32_t>{0, 1}));
  const auto all_nan = on.template tensor<Full>({4}, DType::F32, {-INFINITY, -INFINITY, NAN, NAN});
  EXPECT_EQ(ints_of(on, route(logits, all_nan, p).ids), (std::vector<int32_t>{0, 1}));
}

template <class B>
void route_the_bias_moves_the_choice_and_not_the_weights(Fixture<B>& on, DType dtype) {
  const auto logits = on.template tensor<Full>({1, 3}, dtype, {1, 0, -1});
  const auto bias = on.template tensor<Full>({3}, DType::F32, {-1, 0, 10});
  const auto routing = route(logits, bias, {.top_k = 1, .scoring = RouteParams::Sigmoid});
  EXPECT_EQ(ints_of(on, routing.ids), std::vector<int32_t>{2});
  EXPECT_NEAR(to_host(on.queue, routing.weights.view())[0], 0.2689414, 1e-6);
}

template <class B>
void route_ties_go_to_the_lower_id(Fixture<B>& on, DType dtype) {
  const auto logits = on.template tensor<Full>({2, 6}, dtype, {1, 2, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0});
  EXPECT_EQ(ints_of(on, route(logits, {}, {.top_k = 4}).ids), (std::vector<int32_t>{1, 2, 4, 0, 0, 1, 2, 3}));
  const RouteParams grouped{2, RouteParams::Softmax, 3, 2, RouteParams::SumOfTwo, true, 1};
  EXPECT_EQ(ints_of(on, route(logits, {}, grouped).ids), (std::vector<int32_t>{1, 2, 0, 1}));
}

template <class B>
void route_logits_that_saturate_the_sigmoid_keep_their_order(Fixture<B>& on, DType dtype) {
  const auto routing = route(on.template tensor<Full>({1, 4}, dtype, {40, 60, 50, 30}), {}, {.top_k = 3, .scoring = RouteParams::Sigmoid});
  EXPECT_EQ(ints_of(on, routing.ids), (std::vector<int32_t>{1, 2, 0}));
  EXPECT_EQ(to_host(on.queue, routing.weights.view()), (std::vector<float>{1, 1, 1}));
}

template <class B>
void route_nan_and_infinity_keep_ids_valid_and_reach_the_weights(Fixture<B>& on, DType dtype) {
  for (const std::vector<float>& row :
       {std::vector<float>{1, NAN, 2, NAN, 0, 3, NAN, 1}, std::vector<float>(8, NAN), std::vector<float>(8, -INFINITY),
        std::vector<float>{NAN, 5, 4, 3, 2, 1, 0, -1}, std::vector<float>{1, INFINITY, 2, 3, -INFINITY, 0, 1, 1}})
    for (const auto scoring : {RouteParams::Softmax, RouteParams::Sigmoid})
      for (int chosen : {1, 3, 8})
        for (int groups : {1, 4}) {
          const int kept = chosen == 1 ? 1 : chosen == 3 ? (groups + 1) / 2 : groups;
          const auto routing =
              route(on.template tensor<Full>({1, 8}, dtype, row), {}, {chosen, scoring, groups, kept, RouteParams::SumOfTwo, true, 1});
          const auto ids = ints_of(on, routing.ids);
          EXPECT_EQ(std::set<int32_t>(ids.begin(), ids.end()).size(), static_cast<size_t>(chosen)) << "an expert is chosen once";
          for (int32_t id : ids) ASSERT_TRUE(id >= 0 && id < 8);
          const bool broken = scoring == RouteParams::Softmax || std::any_of(row.begin(), row.end(), [](float x) { return std::isnan(x); });
          const auto weights = to_host(on.queue, routing.weights.view());
          EXPECT_EQ(std::any_of(weights.begin(), weights.end(), [](float w) { return std::isnan(w); }), broken);
        }
  const auto routing = route(on.template tensor<Full>({1, 4}, dtype, {NAN, 1, 2, NAN}), {}, {.top_k = 2});
  EXPECT_EQ(ints_of(on, routing.ids), (std::vector<int32_t>{2, 1})) << "numbers come before NaN";
}

template <class B>
void route_reads_columns_of_wider_tensors(Fixture<B>& on, DType dtype) {
  const auto wide = on.random({6, 90}, dtype, 3);
  const auto part = wide.columns(17, 57), whole = on.template tensor<Full>({6, 40}, dtype, to_host(on.queue, part.view()));
  const RouteParams p{.top_k = 3, .renormalise = true};
  const auto a = route(part, {}, p), b = route(whole, {}, p);
  EXPECT_EQ(ints_of(on, a.ids), ints_of(on, b.ids));
  EXPECT_EQ(to_host(on.queue, a.weights.view()), to_host(on.queue, b.weights.view()));
}

class RouteTest : public testing::TestWithParam<std::tuple<Isa, DType>> {
 protected:
  Isa isa = std::get<0>(GetParam());
  DType dtype = std::get<1>(GetParam());
  CpuFixture cpu{isa};
};

TEST_P(RouteTest, EqualsTheDefinition) { route_equals_the_definition(cpu, dtype); }
TEST_P(RouteTest, ChoosesWithinTheBestGroups) { route_chooses_within_the_best_groups(cpu, dtype); }
TEST_P(RouteTest, AGroupIsJudgedAsAsked) { route_a_group_is_judged_as_asked(cpu, dtype); }
TEST_P(RouteTest, AnExcludedGroupIsNeverChosen) { route_an_excluded_group_is_never_chosen(cpu, dtype); }
TEST_P(RouteTest, TheBiasMovesTheChoiceAndNotTheWeights) { route_the_bias_moves_the_choice_and_not_the_weights(cpu, dtype); }
TEST_P(RouteTest, TiesGoToTheLowerId) { route_ties_go_to_the_lower_id(cpu, dtype); }
TEST_P(RouteTest, LogitsThatSaturateTheSigmoidKeepTheirOrder) { route_logits_that_saturate_the_sigmoid_keep_their_order(cpu, dtype); }
TEST_P(RouteTest, NanAndInfinityKeepIdsValidAndReachTheWeights) { route_nan_and_infinity_keep_ids_valid_and_reach_the_weights(cpu, dtype); }
TEST_P(RouteTest, ReadsColumnsOfWiderTensors) { route_reads_columns_of_wider_tensors(cpu, dtype); }

INSTANTIATE_TEST_SUITE_P(All, RouteTest,
                         testing::Combine(testing::ValuesIn(test::isa_levels()), testing::Values(DType::F32, DType::F16, DType::BF16)));

TEST(RouteCuda, EqualsTheDefinition) {
  test::on_cuda_with_types([](auto& on, DType dtype) { route_equals_the_definition(on, dtype); });
}
TEST(RouteCuda, ChoosesWithinTheBestGroups) {
  test::on_cuda_with_types([](auto& on, DType dtype) { route_chooses_within_the_best_groups(on, dtype); });
}
TEST(RouteCuda, AGroupIsJudgedAsAsked) {
  test::on_cuda_with_types([](auto& on, DType dtype) { route_a_group_is_judged_as_asked(on, dtype); });
}
TEST(RouteCuda, AnExcludedGroupIsNeverChosen) {
  test::on_cuda_with_types([](auto& on, DType dtype) { route_an_excluded_group_is_never_chosen(on, dtype); });
}
TEST(RouteCuda, TheBiasMovesTheChoiceAndNotTheWeights) {
  test::on_cuda_with_types([](auto& on, DType dtype) { route_the_bias_moves_the_choice_and_not_the_weights(on, dtype); });
}
TEST(RouteCuda, TiesGoToTheLowerId) {
  test::on_cuda_with_types([](auto& on, DType dtype) { route_ties_go_to_the_lower_id(on, dtype); });
}
TEST(RouteCuda, LogitsThatSaturateTheSigmoidKeepTheirOrder) {
  test::on_cuda_with_types([](auto& on, DType dtype) { route_logits_that_saturate_the_sigmoid_keep_their_order(on, dtype); });
}
TEST(RouteCuda, NanAndInfinityKeepIdsValidAndReachTheWeights) {
  test::on_cuda_with_types([](auto& on, DType dtype) { route_nan_and_infinity_keep_ids_valid_and_reach_the_weights(on, dtype); });
}
TEST(RouteCuda, ReadsColumnsOfWiderTensors) {
  test::on_cuda_with_types([](auto& on, DType dtype) { route_reads_columns_of_wider_tensors(on, dtype); });
}

TEST(Route, ErrorsNameTheNumbers) {
  CpuFixture cpu;
  const auto logits = cpu.filled({2, 4}, DType::F32, 0);
  const auto error = [&](const RouteParams& p) { return error_of([&] { route(logits, {}, p); }); };
  for (int top_k : {0, 5, -1}) EXPECT_NE(error({.top_k = top_k}).find(std::to_string(top_k) + " (2, 4)"), std::string::npos) << top_k;
  for (int groups : {0, 3, -2}) EXPECT_NE(error({.groups = groups}).find(std::to_string(groups) + " (2, 4)"), std::string::npos) << groups;
  for (int kept : {0, 3, -1})
    EXPECT_NE(error({.groups = 2, .kept_groups = kept}).find(std::to_string(kept) + " 2"), std::string::npos) << kept;
  EXPECT_NE(error({.top_k = 3, .groups = 2}).find("experts of the kept groups per token: 3 (2, 4) 1 2"), std::string::npos);
  EXPECT_NE(error({.groups = 4, .group_score = RouteParams::SumOfTwo}).find("two experts a group: 4 (2, 4)"), std::string::npos);
  for (const auto& bias : {cpu.filled({3}, DType::F32, 0), cpu.filled({4}, DType::F16, 0)})
    EXPECT_NE(error_of([&] { route(logits, bias, {}); }).find("an F32 bias per expert: " + describe(bias.shape())), std::string::npos);
  EXPECT_NE(error_of([&] { route(Tensor<Cpu>(cpu.device, {2, 4}, DType::I32), {}, {}); }).find("I32"), std::string::npos);
}

}  // namespace
}  // namespace infernum
