// CombineExperts, AddExpertBias and HeadIds against their definitions.
#include "ops/moe.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/cuda_test_support.h"

namespace infernum {
namespace {

using test::CpuFixture;
using test::error_of;
using test::Fixture;

template <class B>
void combine_is_the_weighted_sum(Fixture<B>& on, DType dtype) {
  for (const auto& [tokens, width] : test::odd_sizes())
    for (const int64_t chosen : {1, 3}) {
      const auto x = on.template random<Partial>({tokens * chosen, width}, dtype, 8);
      const auto w = on.random({tokens, chosen}, DType::F32, 9);
      test::poison(on.queue, {tokens, width}, dtype);
      const auto got = to_host(on.queue, combine_experts(x, w).view());
      const auto in = to_host(on.queue, x.view()), weights = to_host(on.queue, w.view());
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

template <class B>
void reads_columns_of_wider_tensors(Fixture<B>& on, DType dtype) {
  const auto wide = on.random({6, 90}, dtype, 3);
  const auto part = wide.columns(17, 57), whole = on.template tensor<Full>({6, 40}, dtype, to_host(on.queue, part.view()));
  const auto w = on.random({2, 3}, DType::F32, 4);
  EXPECT_EQ(to_host(on.queue, combine_experts(part, w).view()), to_host(on.queue, combine_experts(whole, w).view()));
}

template <class B>
void expert_bias_is_that_of_the_rows_expert(Fixture<B>& on, DType dtype) {
  for (const auto& [tokens, width] : test::odd_sizes())
    for (const int64_t chosen : {1, 3}) {
      const int64_t experts = 5, rows = tokens * chosen;
      const auto x = on.template random<Partial>({rows, width}, dtype, 11);
      const auto bias = on.random({experts, width}, DType::F32, 12);
      std::vector<int32_t> experts_of;
      for (int64_t p = 0; p < rows; p++) experts_of.push_back(static_cast<int32_t>(p * 7 % experts));
      const auto ids = on.ints(experts_of).reshape({tokens, chosen});
      test::poison(on.queue, x.shape(), dtype);
      const auto got = to_host(on.queue, add_expert_bias(x, bias, ids).view());
      const auto in = to_host(on.queue, x.view()), b = to_host(on.queue, bias.view());
      for (int64_t p = 0; p < rows; p++)
        for (int64_t c = 0; c < width; c++) {
          const auto i = static_cast<size_t>(p * width + c);
          const double u = in[i], v = b[static_cast<size_t>(experts_of[static_cast<size_t>(p)] * width + c)];
          ASSERT_NEAR(got[i], u + v, std::abs(u + v) * (test::unit_roundoff(dtype) + 1e-7) + (dtype == DType::F16 ? 0x1p-24 : 0))
              << p << ", " << c;
        }
    }
}

class MoeTest : public testing::TestWithParam<std::tuple<Isa, DType>> {
 protected:
  Isa isa = std::get<0>(GetParam());
  DType dtype = std::get<1>(GetParam());
  CpuFixture cpu{isa};
};

TEST_P(MoeTest, CombineIsTheWeightedSum) { combine_is_the_weighted_sum(cpu, dtype); }
TEST_P(MoeTest, ReadsColumnsOfWiderTensors) { reads_columns_of_wider_tensors(cpu, dtype); }
TEST_P(MoeTest, ExpertBiasIsThatOfTheRowsExpert) { expert_bias_is_that_of_the_rows_expert(cpu, dtype); }

INSTANTIATE_TEST_SUITE_P(All, MoeTest,
                         testing::Combine(testing::ValuesIn(test::isa_levels()), testing::Values(DType::F32, DType::F16, DType::BF16)));

TEST(MoeCuda, CombineIsTheWeightedSum) {
  test::on_cuda_with_types([](auto& on, DType dtype) { combine_is_the_weighted_sum(on, dtype); });
}
TEST(MoeCuda, ReadsColumnsOfWiderTensors) {
  test::on_cuda_with_types([](auto& on, DType dtype) { reads_columns_of_wider_tensors(on, dtype); });
}
TEST(MoeCuda, ExpertBiasIsThatOfTheRowsExpert) {
  test::on_cuda_with_types([](auto& on, DType dtype) { expert_bias_is_that_of_the_rows_expert(on, dtype); });
}

template <class B>
void head_ids_count_up(Fixture<B>& on) {
  for (const auto& [tokens, heads] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {3, 5}, {300, 128}}) {
    test::poison(on.queue, {tokens, heads}, DType::I32);
    const Tensor<B> ids(on.device, {tokens, heads}, DType::I32);
    run<HeadIds>(ids);
    const auto got = to_host(on.queue, ids.view());
    for (size_t i = 0; i < got.size(); i++) ASSERT_EQ(got[i], static_cast<float>(i % static_cast<size_t>(heads))) << i;
  }
}
TEST(HeadIds, CountUp) {
  CpuFixture cpu;
  head_ids_count_up(cpu);
}
TEST(HeadIdsCuda, CountUp) {
  test::on_cuda([](auto& on) { head_ids_count_up(on); });
}

TEST(Moe, ErrorsNameTheNumbers) {
  CpuFixture cpu;
  const auto logits = cpu.filled({2, 4}, DType::F32, 0);
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
