// Sigmoid, GELU, softcap, clamp and scalings against their definitions in double precision, on every instruction set, CUDA, type and a
// range of odd sizes.
#include <gtest/gtest.h>

#include <cmath>

#include "ops/cuda_test_support.h"
#include "ops/elementwise.h"
#include "ops/rope.h"

namespace infernum {
namespace {

using test::CpuFixture;
using test::error_of;
using test::Fixture;

using Definition = std::function<double(double)>;

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }
double gelu_tanh_of(double x) { return x * sigmoid_of(2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)); }
double gelu_of(double x) { return 0.5 * x * std::erfc(-x * M_SQRT1_2); }
Definition softcap_of(double c) {
  return [c](double x) { return c * std::tanh(x / c); };
}
double clamp_of(double x) { return std::fmin(std::fmax(x, -0.75), 1.5); }

template <class B, Layout L>
std::vector<float> values(Fixture<B>& on, const Tensor<B, L>& t) {
  return to_host(on.queue, t.view());
}

/// Within the rounding of the type and of a few F32 operations; an exponential of x carries the rounding of its argument, here x^2.
void expect_near(DType dtype, const std::vector<float>& x, const std::vector<float>& got, const Definition& f) {
  ASSERT_EQ(got.size(), x.size());
  for (size_t i = 0; i < x.size(); i++) {
    const double v = x[i], want = f(v);
    ASSERT_NEAR(got[i], want, std::abs(want) * (test::unit_roundoff(dtype) + 1e-6 + 2e-7 * v * v) + (dtype == DType::F16 ? 0x1p-24 : 1e-36))
        << "element " << i << " of " << x.size() << ", x = " << v;
  }
}

template <class B>
void equal_the_definition(Fixture<B>& on, DType dtype) {
  int seed = 0;
  for (const auto& [rows, cols] : test::odd_sizes())
    for (const float spread : {0.1f, 1.f, 4.f}) {
      const auto x = on.template tensor<Shard>({rows, cols}, dtype, test::random_values(rows * cols, ++seed, spread));
      const auto in = values(on, x);
      test::poison(on.queue, x.shape(), dtype);
      expect_near(dtype, in, values(on, sigmoid(x)), sigmoid_of);
      test::poison(on.queue, x.shape(), dtype);
      expect_near(dtype, in, values(on, gelu_tanh(x)), gelu_tanh_of);
      test::poison(on.queue, x.shape(), dtype);
      expect_near(dtype, in, values(on, gelu(x)), gelu_of);
      test::poison(on.queue, x.shape(), dtype);
      expect_near(dtype, in, values(on, softcap(x, 3)), softcap_of(3));
      test::poison(on.queue, x.shape(), dtype);
      expect_near(dtype, in, values(on, clamp(x, -0.75f, 1.5f)), clamp_of);
      test::poison(on.queue, x.shape(), dtype);
      expect_near(dtype, in, values(on, scale(x, -2.7f)), [](double v) { return static_cast<double>(-2.7f) * v; });
    }
}

template <class B>
void far_from_zero_they_keep_their_tails(Fixture<B>& on, DType dtype) {
  std::vector<float> points;
  for (int i = -400; i <= 400; i++) points.push_back(static_cast<float>(i) * 0.03f);
  const auto x = on.template tensor<Full>({1, static_cast<int64_t>(points.size())}, dtype, points);
  const auto in = values(on, x);
  expect_near(dtype, in, values(on, sigmoid(x)), sigmoid_of);
  expect_near(dtype, in, values(on, gelu_tanh(x)), gelu_tanh_of);
  expect_near(dtype, in, values(on, gelu(x)), gelu_of);
  for (float c : {1.f, 30.f, 50.f}) expect_near(dtype, in, values(on, softcap(x, c)), softcap_of(static_cast<double>(c)));
}

template <class B>
void extremes_have_their_limits(Fixture<B>& on, DType dtype) {
  const auto x = on.template tensor<Full>({1, 7}, dtype, {INFINITY, -INFINITY, NAN, 60000, -60000, 0, -0.f});
  const auto near = [&](const Tensor<B>& y, const std::vector<float>& want) {
    const auto got = values(on, y);
    for (size_t i = 0; i < want.size(); i++) {
      if (std::isnan(want[i]))
        EXPECT_TRUE(std::isnan(got[i])) << i << " is " << got[i];
      else
        EXPECT_EQ(got[i], want[i]) << i;
    }
  };
  const float large = values(on, x)[3];
  near(sigmoid(x), {1, 0, NAN, 1, 0, 0.5f, 0.5f});
  near(softcap(x, 30), {30, -30, NAN, 30, -30, 0, 0});
  near(clamp(x, -2, 4), {4, -2, NAN, 4, -2, 0, 0});
  near(scale(x, 0.5f), {INFINITY, -INFINITY, NAN, large / 2, -large / 2, 0, 0});
  for (const auto& y : {gelu(x), gelu_tanh(x)}) near(y, {INFINITY, NAN, NAN, large, 0, 0, 0});  // -inf * 0 is not a number
}

template <class B>
void scale_rows_takes_a_factor_per_row(Fixture<B>& on, DType dtype) {
  int seed = 40;
  for (const auto& [rows, cols] : test::odd_sizes())
    for (const DType type : {DType::F32, dtype}) {
      const auto x = on.template random<Partial>({rows, cols}, dtype, ++seed);
      const auto s = on.random({rows, 1}, type, ++seed);
      test::poison(on.queue, x.shape(), dtype);
      const auto got = values(on, scale_rows(x, s)), in = values(on, x), factors = values(on, s);
      for (size_t i = 0; i < got.size(); i++) {
        const double want = static_cast<double>(in[i]) * static_cast<double>(factors[i / static_cast<size_t>(cols)]);
        ASSERT_NEAR(got[i], want, std::abs(want) * test::unit_roundoff(dtype) + (dtype == DType::F16 ? 0x1p-24 : 1e-37)) << i;
      }
    }
}

template <class B>
void position_scale_grows_in_steps(Fixture<B>& on, DType dtype) {
  const std::vector<int32_t> positions{0, 6, 7, 8, 4095, 8190, 8191, 8192, 16382, 16383, 131071, 10485759};
  const auto rows = static_cast<int64_t>(positions.size());
  for (const auto& p : {PositionScaleParams{0.1f, 8192, 1}, PositionScaleParams{0.1f, 16384, 0}, PositionScaleParams{-2, 7, 3}}) {
    const auto x = on.template random<Shard>({rows, 37}, dtype, 77);
    test::poison(on.queue, x.shape(), dtype);
    const auto got = values(on, position_scale(x, on.ints(positions), p)), in = values(on, x);
    for (size_t i = 0; i < got.size(); i++) {
      const auto step = static_cast<double>((positions[i / 37] + p.offset) / static_cast<int>(p.floor_scale));
      const double want = static_cast<double>(in[i]) * (1 + static_cast<double>(p.beta) * std::log(1 + step));
      ASSERT_NEAR(got[i], want, std::abs(want) * test::unit_roundoff(dtype) + (dtype == DType::F16 ? 0x1p-24 : 1e-37)) << i;
    }
  }
}

template <class B>
void run_on_columns_of_wider_tensors(Fixture<B>& on, DType dtype) {
  const auto wide = on.random({5, 70}, dtype, 1), y = on.filled({5, 50}, dtype, NAN);
  const auto x = wide.columns(20, 57), part = y.columns(6, 43);
  const auto in = values(on, x);
  for (const auto& [run_on, f] : std::vector<std::pair<std::function<void()>, Definition>>{
           {[&] { kernel(Sigmoid{}, on.queue, part.view(), x.view()); }, sigmoid_of},
           {[&] { kernel(Gelu{}, on.queue, part.view(), x.view()); }, gelu_of},
           {[&] { kernel(GeluTanh{}, on.queue, part.view(), x.view()); }, gelu_tanh_of},
           {[&] { kernel(Softcap{}, on.queue, part.view(), x.view(), 2); }, softcap_of(2)},
           {[&] { kernel(Clamp{}, on.queue, part.view(), x.view(), -0.75f, 1.5f); }, clamp_of}}) {
    run_on();
    expect_near(dtype, in, values(on, part), f);
  }
  for (float edge : values(on, y.columns(0, 6))) ASSERT_TRUE(std::isnan(edge));
  for (float edge : values(on, y.columns(43, 50))) ASSERT_TRUE(std::isnan(edge));
}

class ActivationsTest : public testing::TestWithParam<std::tuple<Isa, DType>> {
 protected:
  Isa isa = std::get<0>(GetParam());
  DType dtype = std::get<1>(GetParam());
  CpuFixture cpu{isa};
};

TEST_P(ActivationsTest, EqualTheDefinition) { equal_the_definition(cpu, dtype); }
TEST_P(ActivationsTest, FarFromZeroTheyKeepTheirTails) { far_from_zero_they_keep_their_tails(cpu, dtype); }
TEST_P(ActivationsTest, ExtremesHaveTheirLimits) { extremes_have_their_limits(cpu, dtype); }
TEST_P(ActivationsTest, ScaleRowsTakesAFactorPerRow) { scale_rows_takes_a_factor_per_row(cpu, dtype); }
TEST_P(ActivationsTest, PositionScaleGrowsInSteps) { position_scale_grows_in_steps(cpu, dtype); }
TEST_P(ActivationsTest, RunOnColumnsOfWiderTensors) { run_on_columns_of_wider_tensors(cpu, dtype); }

INSTANTIATE_TEST_SUITE_P(All, ActivationsTest,
                         testing::Combine(testing::ValuesIn(test::isa_levels()), testing::Values(DType::F32, DType::F16, DType::BF16)));

TEST(ActivationsCuda, EqualTheDefinition) {
  test::on_cuda_with_types([](auto& on, DType dtype) { equal_the_definition(on, dtype); });
}
TEST(ActivationsCuda, FarFromZeroTheyKeepTheirTails) {
  test::on_cuda_with_types([](auto& on, DType dtype) { far_from_zero_they_keep_their_tails(on, dtype); });
}
TEST(ActivationsCuda, ExtremesHaveTheirLimits) {
  test::on_cuda_with_types([](auto& on, DType dtype) { extremes_have_their_limits(on, dtype); });
}
TEST(ActivationsCuda, ScaleRowsTakesAFactorPerRow) {
  test::on_cuda_with_types([](auto& on, DType dtype) { scale_rows_takes_a_factor_per_row(on, dtype); });
}
TEST(ActivationsCuda, PositionScaleGrowsInSteps) {
  test::on_cuda_with_types([](auto& on, DType dtype) { position_scale_grows_in_steps(on, dtype); });
}
TEST(ActivationsCuda, RunOnColumnsOfWiderTensors) {
  test::on_cuda_with_types([](auto& on, DType dtype) { run_on_columns_of_wider_tensors(on, dtype); });
}

TEST(Activations, PublishedValues) {
  CpuFixture cpu;
  const auto y = to_host(cpu.queue, gelu_tanh(cpu.tensor<Full>({1, 3}, DType::F32, {1, -1, 3})).view());
  EXPECT_NEAR(y[0], 0.841192, 5e-7);
  EXPECT_NEAR(y[1], -0.158808, 5e-7);
  EXPECT_NEAR(y[2], 2.996363, 5e-7);
}

TEST(Activations, ErrorsNameTheNumbers) {
  CpuFixture cpu;
  const auto x = cpu.filled({2, 3}, DType::F32, 0);
  for (float c : {0.f, -2.f, NAN}) EXPECT_NE(error_of([&] { softcap(x, c); }).find("the cap must be positive"), std::string::npos) << c;
  EXPECT_NE(error_of([&] { clamp(x, 2, 1); }).find("an empty range: 2 1"), std::string::npos) << error_of([&] { clamp(x, 2, 1); });
  EXPECT_NE(error_of([&] { clamp(x, NAN, 1); }).find("an empty range"), std::string::npos);
  EXPECT_NE(error_of([&] { scale_rows(x, cpu.filled({3, 1}, DType::F32, 0)); }).find("(2, 3) (3, 1)"), std::string::npos);
  EXPECT_NE(error_of([&] { scale_rows(x, cpu.filled({2}, DType::F32, 0)); }).find("(2, 3) (2)"), std::string::npos);
  EXPECT_NE(error_of([&] { scale_rows(x, Tensor<Cpu>(cpu.device, {2, 1}, DType::I32)); }).find("I32"), std::string::npos);
  const auto ids = cpu.ints({0, 1});
  EXPECT_NE(error_of([&] { position_scale(x, cpu.ints({0}), {}); }).find("(2, 3) (1) I32"), std::string::npos);
  EXPECT_NE(error_of([&] { position_scale(x, cpu.filled({2}, DType::F32, 0), {}); }).find("F32"), std::string::npos);
  EXPECT_NE(error_of([&] { position_scale(x, ids, {1, 0, 0}); }).find("not negative: 0 0"), std::string::npos);
  EXPECT_NE(error_of([&] { position_scale(x, ids, {1, 1, -1}); }).find("not negative: 1 -1"), std::string::npos);
}

}  // namespace
}  // namespace infernum
