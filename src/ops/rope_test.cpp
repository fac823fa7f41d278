// RopeTable and Rope against their definitions: both pairings, heads rotated in part, columns of wider tensors.
#include "ops/rope.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/cuda_test_support.h"

namespace infernum {
namespace {

using test::CpuFixture;
using test::Fixture;

template <class B>
void table_holds_cosines_then_sines_of_the_rounded_angle(Fixture<B>& on) {
  const std::vector<int32_t> positions{0, 1, 77, 1048575};
  const std::vector<float> inv{1, 0.31f, 1e-4f};
  test::poison(on.queue, {4, 6}, DType::F32);
  const auto table = to_host(on.queue, rope_table(on.ints(positions), on.template tensor<Full>({3}, DType::F32, inv), 0.75f).view());
  for (size_t t = 0; t < 4; t++)
    for (size_t i = 0; i < 3; i++) {
      const auto angle = static_cast<double>(static_cast<float>(positions[t]) * inv[i]);
      ASSERT_NEAR(table[t * 6 + i], 0.75 * std::cos(angle), 1e-7);
      ASSERT_NEAR(table[t * 6 + 3 + i], 0.75 * std::sin(angle), 1e-7);
    }
}

/// Every pair of a head turned by its angle in the table, the rest as it was.
std::vector<double> rotated(const std::vector<float>& x, const std::vector<float>& table, size_t tokens, size_t d, const RopeParams& p) {
  std::vector<double> y(x.begin(), x.end());
  const size_t head_dim = static_cast<size_t>(p.head_dim), row = x.size() / tokens, half = d / 2;
  for (size_t t = 0; t < tokens; t++)
    for (size_t first = t * row; first < (t + 1) * row; first += head_dim)
      for (size_t i = 0; i < half; i++) {
        const size_t one = first + (p.interleaved ? 2 * i : i), other = first + (p.interleaved ? 2 * i + 1 : i + half);
        const double a = x[one], b = x[other], c = table[t * d + i], s = table[t * d + half + i];
        y[one] = a * c - b * s;
        y[other] = b * c + a * s;
      }
  return y;
}

void expect_near(const std::vector<float>& got, const std::vector<double>& want, DType dtype) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); i++)
    ASSERT_NEAR(got[i], want[i], std::abs(want[i]) * test::unit_roundoff(dtype) + 2e-6) << "element " << i;
}

template <class B>
void rope_equals_the_definition(Fixture<B>& on, DType dtype) {
  struct Case {
    int64_t tokens, heads;
    int head_dim;
    int64_t d;
  };
  for (const Case c : {Case{1, 1, 2, 2}, Case{3, 5, 64, 64}, Case{7, 4, 128, 128}, Case{40, 3, 80, 32}, Case{5, 2, 18, 6},
                       Case{2, 7, 96, 96}, Case{4, 3, 20, 10}, Case{3, 2, 5, 4}})
    for (const bool interleaved : {false, true}) {
      const RopeParams p{c.head_dim, interleaved};
      const auto x = on.template random<Shard>({c.tokens, c.heads * c.head_dim}, dtype, 3);
      const auto table = on.random({c.tokens, c.d}, DType::F32, 4);
      test::poison(on.queue, x.shape(), dtype);
      const auto y = rope(x, table, p);
      ASSERT_EQ(y.shape(), x.shape());
      expect_near(
          to_host(on.queue, y.view()),
          rotated(to_host(on.queue, x.view()), to_host(on.queue, table.view()), static_cast<size_t>(c.tokens), static_cast<size_t>(c.d), p),
          dtype);
    }
}

template <class B>
void rope_reads_columns_of_wider_tensors(Fixture<B>& on, DType dtype) {
  const auto wide = on.random({6, 300}, dtype, 5), table = on.random({6, 64}, DType::F32, 6);
  for (const int64_t begin : {0, 8, 13}) {
    const auto part = wide.columns(begin, begin + 256), whole = on.template tensor<Full>({6, 256}, dtype, to_host(on.queue, part.view()));
    for (const bool interleaved : {false, true})
      EXPECT_EQ(to_host(on.queue, rope(part, table, {64, interleaved}).view()),
                to_host(on.queue, rope(whole, table, {64, interleaved}).view()))
          << "from column " << begin;
  }
}

template <class B>
void rope_writes_columns_of_wider_tensors(Fixture<B>& on, DType dtype, bool interleaved) {
  const RopeParams params{20, interleaved};
  const auto table = rope_table(on.ints({3, 0, 9}), on.template tensor<Full>({8}, DType::F32, test::random_values(8, 1)), 1);
  const auto wide = on.random({3, 100}, dtype, 2), y = on.filled({3, 70}, dtype, NAN);
  const auto part = wide.columns(30, 90);
  test::poison(on.queue, {3, 60}, dtype);
  const auto want = to_host(on.queue, rope(on.template tensor<Full>({3, 60}, dtype, to_host(on.queue, part.view())), table, params).view());
  kernel(Rope{}, on.queue, y.columns(5, 65).view(), part.view(), table.view(), params);
  EXPECT_EQ(to_host(on.queue, y.columns(5, 65).view()), want);
  for (float edge : to_host(on.queue, y.columns(0, 5).view())) EXPECT_TRUE(std::isnan(edge));
  for (float edge : to_host(on.queue, y.columns(65, 70).view())) EXPECT_TRUE(std::isnan(edge));
}

class RopeTest : public testing::TestWithParam<std::tuple<Isa, DType>> {
 protected:
  Isa isa = std::get<0>(GetParam());
  DType dtype = std::get<1>(GetParam());
  CpuFixture cpu{isa};
};

TEST_P(RopeTest, EqualsTheDefinition) { rope_equals_the_definition(cpu, dtype); }
TEST_P(RopeTest, WritesColumnsOfWiderTensors) {
  for (const bool interleaved : {false, true}) rope_writes_columns_of_wider_tensors(cpu, dtype, interleaved);
}
TEST_P(RopeTest, ReadsColumnsOfWiderTensors) { rope_reads_columns_of_wider_tensors(cpu, dtype); }

INSTANTIATE_TEST_SUITE_P(All, RopeTest,
                         testing::Combine(testing::ValuesIn(test::isa_levels()), testing::Values(DType::F32, DType::F16, DType::BF16)));

TEST(RopeCuda, WritesColumnsOfWiderTensors) {
  test::on_cuda_with_types([](auto& on, DType dtype) {
    for (const bool interleaved : {false, true}) rope_writes_columns_of_wider_tensors(on, dtype, interleaved);
  });
}
TEST(RopeCuda, EqualsTheDefinition) {
  test::on_cuda_with_types([](auto& on, DType dtype) { rope_equals_the_definition(on, dtype); });
}
TEST(RopeCuda, ReadsColumnsOfWiderTensors) {
  test::on_cuda_with_types([](auto& on, DType dtype) { rope_reads_columns_of_wider_tensors(on, dtype); });
}

TEST(RopeTable, HoldsCosinesThenSinesOfTheRoundedAngle) {
  CpuFixture cpu;
  table_holds_cosines_then_sines_of_the_rounded_angle(cpu);
}
TEST(RopeTableCuda, HoldsCosinesThenSinesOfTheRoundedAngle) {
  test::on_cuda([](auto& on) { table_holds_cosines_then_sines_of_the_rounded_angle(on); });
}

}  // namespace
}  // namespace infernum
