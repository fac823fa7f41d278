// RmsNorm over rows and over heads, and LayerNorm, against the definitions in double precision.
#include "ops/rms_norm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/cuda_test_support.h"

namespace infernum {
namespace {

using test::CpuFixture;
using test::error_of;
using test::Fixture;

/// The norm of every run of w.size() values.
std::vector<double> expected(const std::vector<float>& x, const std::vector<float>& w, double eps) {
  std::vector<double> y(x.size());
  const size_t n = w.size();
  for (size_t first = 0; first < x.size(); first += n) {
    double squares = 0;
    for (size_t i = 0; i < n; i++) squares += static_cast<double>(x[first + i]) * static_cast<double>(x[first + i]);
    const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + eps);
    for (size_t i = 0; i < n; i++) y[first + i] = static_cast<double>(x[first + i]) * scale * static_cast<double>(w[i]);
  }
  return y;
}

void expect_near(const std::vector<float>& got, const std::vector<double>& want, DType dtype) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); i++)
    ASSERT_NEAR(got[i], want[i], std::abs(want[i]) * (test::unit_roundoff(dtype) + 2e-6) + (dtype == DType::F16 ? 0x1p-24 : 1e-37))
        << "element " << i;
}

template <class B>
void norm_equals_the_definition(Fixture<B>& on, DType dtype) {
  int seed = 0;
  for (const auto& [rows, cols] : test::odd_sizes())
    for (const float eps : {1e-6f, 1e-2f}) {
      const auto x = on.random({rows, cols}, dtype, ++seed), w = on.random({cols}, DType::F32, ++seed);
      test::poison(on.queue, x.shape(), dtype);
      expect_near(to_host(on.queue, rms_norm(x, w, eps).view()),
                  expected(to_host(on.queue, x.view()), to_host(on.queue, w.view()), static_cast<double>(eps)), dtype);
    }
}

template <class B>
void norm_of_heads_is_the_norm_of_each_head(Fixture<B>& on, DType dtype) {
  int seed = 100;
  for (const auto& [tokens, heads, head_dim] :
       std::vector<std::tuple<int64_t, int64_t, int64_t>>{{1, 1, 1}, {3, 5, 20}, {7, 4, 64}, {2, 3, 128}}) {
    const auto x = on.template random<Shard>({tokens, heads * head_dim}, dtype, ++seed);
    const auto w = on.random({head_dim}, DType::F32, ++seed);
    test::poison(on.queue, x.shape(), dtype);
    const auto y = head_norm(x, w, 1e-5f);
    EXPECT_EQ(y.shape(), x.shape());
    expect_near(to_host(on.queue, y.view()), expected(to_host(on.queue, x.view()), to_host(on.queue, w.view()), 1e-5), dtype);
  }
}

template <class B>
void norm_without_a_weight_is_the_norm_with_ones(Fixture<B>& on, DType dtype) {
  int seed = 200;
  for (const auto& [rows, cols] : test::odd_sizes()) {
    const auto x = on.random({rows, cols}, dtype, ++seed);
    const auto in = to_host(on.queue, x.view());
    test::poison(on.queue, x.shape(), dtype);
    expect_near(to_host(on.queue, rms_norm(x, 1e-5f).view()), expected(in, std::vector<float>(static_cast<size_t>(cols), 1), 1e-5), dtype);
    const auto heads = on.template random<Shard>({rows, cols * 3}, dtype, ++seed);
    test::poison(on.queue, heads.shape(), dtype);
    const auto y = head_norm(heads, cols, 1e-5f);
    ASSERT_EQ(y.shape(), heads.shape());
    expect_near(to_host(on.queue, y.view()),
                expected(to_host(on.queue, heads.view()), std::vector<float>(static_cast<size_t>(cols), 1), 1e-5), dtype);
  }
}

template <class B>
void layer_norm_equals_the_definition(Fixture<B>& on, DType dtype) {
  int seed = 300;
  for (const auto& [rows, cols] : test::odd_sizes())
    for (const float offset : {0.f, 20.f}) {
      auto values = test::random_values(rows * cols, ++seed);
      for (float& v : values) v += offset;
      const auto x = on.template tensor<Full>({rows, cols}, dtype, values), w = on.random({cols}, DType::F32, ++seed);
      test::poison(on.queue, x.shape(), dtype);
      const auto got = to_host(on.queue, layer_norm(x, w, 1e-5f).view());
      const auto in = to_host(on.queue, x.view()), weight = to_host(on.queue, w.view());
      const auto n = static_cast<size_t>(cols);
      for (size_t first = 0; first < in.size(); first += n) {
        double mean = 0, squares = 0;
        for (size_t i = 0; i < n; i++) mean += static_cast<double>(in[first + i]) / static_cast<double>(n);
        for (size_t i = 0; i < n; i++) squares += std::pow(static_cast<double>(in[first + i]) - mean, 2);
        const double factor = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
        for (size_t i = 0; i < n; i++) {
          const double g = weight[i], want = (static_cast<double>(in[first + i]) - mean) * factor * g;
          // The mean carries the rounding of its sum, whatever is left of x - mean.
          const double rounding = std::abs(g) * factor * (std::abs(mean) * 5e-7 + 1e-7);
          ASSERT_NEAR(got[first + i], want,
                      std::abs(want) * (test::unit_roundoff(dtype) + 3e-6) + rounding + (dtype == DType::F16 ? 0x1p-24 : 0))
              << "row " << first / n << " column " << i << " of " << n;
        }
      }
    }
}

template <class B>
void layer_norm_of_a_constant_is_zero_and_of_nan_is_nan(Fixture<B>& on, DType dtype) {
  std::vector<float> values(80, 1.f);
  values[45] = NAN;
  const auto y =
      to_host(on.queue, layer_norm(on.template tensor<Full>({2, 40}, dtype, values), on.filled({40}, DType::F32, 2), 1e-6f).view());
  for (size_t i = 0; i < 80; i++) {
    if (i < 40)
      ASSERT_EQ(y[i], 0) << i;
    else
      ASSERT_TRUE(std::isnan(y[i])) << i;
  }
}

template <class B>
void norm_of_a_wider_stream_is_an_activation(Fixture<B>& on, DType dtype) {
  on.device.dtype = dtype;
  const auto x = on.random({7, 33}, DType::F32, 1), w = on.random({33}, DType::F32, 2);
  const auto in = to_host(on.queue, x.view()), weight = to_host(on.queue, w.view());
  test::poison(on.queue, x.shape(), dtype);
  const auto y = rms_norm(x, w, 1e-5f), bare = rms_norm(x, 1e-5f), centered = layer_norm(x, w, 1e-5f);
  for (const auto& norm : {y, bare, centered}) ASSERT_EQ(norm.dtype(), dtype);
  expect_near(to_host(on.queue, y.view()), expected(in, weight, 1e-5), dtype);
  expect_near(to_host(on.queue, bare.view()), expected(in, std::vector<float>(33, 1), 1e-5), dtype);
  // The same numbers as the norm in F32, rounded once.
  on.device.dtype = DType::F32;
  const auto wide = to_host(on.queue, layer_norm(x, w, 1e-5f).view()), narrow = to_host(on.queue, centered.view());
  for (size_t i = 0; i < wide.size(); i++)
    ASSERT_NEAR(narrow[i], wide[i], std::abs(wide[i]) * test::unit_roundoff(dtype) + (dtype == DType::F16 ? 0x1p-24 : 0)) << i;
}

template <class B>
void norm_reads_columns_of_a_wider_tensor(Fixture<B>& on, DType dtype) {
  const auto wide = on.random({6, 100}, dtype, 1);
  const auto x = wide.columns(11, 48), w = on.random({37}, DType::F32, 2), y = on.filled({6, 37}, dtype, NAN);
  kernel(RmsNorm{}, on.queue, y.view(), x.view(), w.view(), 1e-6f);
  expect_near(to_host(on.queue, y.view()), expected(to_host(on.queue, x.view()), to_host(on.queue, w.view()), 1e-6), dtype);
}

template <class B>
void norm_of_zeros_is_zero_and_of_nan_is_nan(Fixture<B>& on, DType dtype) {
  const auto w = on.filled({40}, DType::F32, 2);
  for (float v : to_host(on.queue, rms_norm(on.filled({2, 40}, dtype, 0), w, 1e-6f).view())) ASSERT_EQ(v, 0);
  std::vector<float> values(80, 1.f);
  values[45] = NAN;
  const auto y = to_host(on.queue, rms_norm(on.template tensor<Full>({2, 40}, dtype, values), w, 1e-6f).view());
  for (size_t i = 0; i < 80; i++) ASSERT_EQ(std::isnan(y[i]), i >= 40) << "only the row of the NaN is lost, element " << i;
}

class RmsNormTest : public testing::TestWithParam<std::tuple<Isa, DType>> {
 protected:
  Isa isa = std::get<0>(GetParam());
  DType dtype = std::get<1>(GetParam());
  CpuFixture cpu{isa};
};

TEST_P(RmsNormTest, EqualsTheDefinition) { norm_equals_the_definition(cpu, dtype); }
TEST_P(RmsNormTest, OfHeadsIsTheNormOfEachHead) { norm_of_heads_is_the_norm_of_each_head(cpu, dtype); }
TEST_P(RmsNormTest, WithoutAWeightIsTheNormWithOnes) { norm_without_a_weight_is_the_norm_with_ones(cpu, dtype); }
TEST_P(RmsNormTest, LayerNormEqualsTheDefinition) { layer_norm_equals_the_definition(cpu, dtype); }
TEST_P(RmsNormTest, LayerNormOfAConstantIsZeroAndOfNanIsNan) { layer_norm_of_a_constant_is_zero_and_of_nan_is_nan(cpu, dtype); }
TEST_P(RmsNormTest, OfAWiderStreamIsAnActivation) { norm_of_a_wider_stream_is_an_activation(cpu, dtype); }
TEST_P(RmsNormTest, ReadsColumnsOfAWiderTensor) { norm_reads_columns_of_a_wider_tensor(cpu, dtype); }
TEST_P(RmsNormTest, OfZerosIsZeroAndOfNanIsNan) { norm_of_zeros_is_zero_and_of_nan_is_nan(cpu, dtype); }

INSTANTIATE_TEST_SUITE_P(All, RmsNormTest,
                         testing::Combine(testing::ValuesIn(test::isa_levels()), testing::Values(DType::F32, DType::F16, DType::BF16)));

TEST(RmsNormCuda, EqualsTheDefinition) {
  test::on_cuda_with_types([](auto& on, DType dtype) { norm_equals_the_definition(on, dtype); });
}
TEST(RmsNormCuda, OfHeadsIsTheNormOfEachHead) {
  test::on_cuda_with_types([](auto& on, DType dtype) { norm_of_heads_is_the_norm_of_each_head(on, dtype); });
}
TEST(RmsNormCuda, WithoutAWeightIsTheNormWithOnes) {
  test::on_cuda_with_types([](auto& on, DType dtype) { norm_without_a_weight_is_the_norm_with_ones(on, dtype); });
}
TEST(RmsNormCuda, LayerNormEqualsTheDefinition) {
  test::on_cuda_with_types([](auto& on, DType dtype) { layer_norm_equals_the_definition(on, dtype); });
}
TEST(RmsNormCuda, LayerNormOfAConstantIsZeroAndOfNanIsNan) {
  test::on_cuda_with_types([](auto& on, DType dtype) { layer_norm_of_a_constant_is_zero_and_of_nan_is_nan(on, dtype); });
}
TEST(RmsNormCuda, OfAWiderStreamIsAnActivation) {
  test::on_cuda_with_types([](auto& on, DType dtype) { norm_of_a_wider_stream_is_an_activation(on, dtype); });
}
TEST(RmsNormCuda, ReadsColumnsOfAWiderTensor) {
  test::on_cuda_with_types([](auto& on, DType dtype) { norm_reads_columns_of_a_wider_tensor(on, dtype); });
}
TEST(RmsNormCuda, OfZerosIsZeroAndOfNanIsNan) {
  test::on_cuda_with_types([](auto& on, DType dtype) { norm_of_zeros_is_zero_and_of_nan_is_nan(on, dtype); });
}

TEST(RmsNorm, ErrorsNameBothShapes) {
  CpuFixture cpu;
  const auto x = cpu.filled({2, 30}, DType::F32, 0);
  const auto message = error_of([&] { rms_norm(x, cpu.filled({31}, DType::F32, 0), 1e-6f); });
  EXPECT_NE(message.find("(31)"), std::string::npos) << message;
  EXPECT_NE(message.find("(2, 30)"), std::string::npos) << message;
  EXPECT_NE(error_of([&] { rms_norm(x, cpu.filled({30}, DType::BF16, 0), 1e-6f); }).find("BF16"), std::string::npos);
  const auto heads = error_of([&] { head_norm(x, cpu.filled({7}, DType::F32, 0), 1e-6f); });
  EXPECT_NE(heads.find("rows must be whole heads: (2, 30) 7"), std::string::npos) << heads;
  EXPECT_NE(error_of([&] { head_norm(x, cpu.filled({6}, DType::BF16, 0), 1e-6f); }).find("(6) BF16"), std::string::npos);
  for (int64_t head_dim : {0, -3, 7})
    EXPECT_NE(error_of([&] { head_norm(x, head_dim, 1e-6f); }).find("(2, 30) " + std::to_string(head_dim)), std::string::npos);
  EXPECT_NE(error_of([&] { layer_norm(x, cpu.filled({31}, DType::F32, 0), 1e-6f); }).find("(31) F32 (2, 30)"), std::string::npos);
  EXPECT_NE(error_of([&] { layer_norm(x, cpu.filled({30}, DType::F16, 0), 1e-6f); }).find("(30) F16 (2, 30)"), std::string::npos);
}

}  // namespace
}  // namespace infernum
