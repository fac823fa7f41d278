// Add, Mul, Silu and AddBias against their definitions in double precision, on every instruction set, CUDA, type and a range of odd sizes.
#include "ops/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/cuda_test_support.h"

namespace infernum {
namespace {

using test::CpuFixture;
using test::error_of;
using test::Fixture;

/// Every element within the rounding of its type and of `slack` more F32 roundings.
template <class B>
void expect_near(Fixture<B>& on, DType dtype, const Tensor<B>& got, const std::function<double(size_t)>& want, double slack = 0) {
  const auto values = to_host(on.queue, got.view());
  for (size_t i = 0; i < values.size(); i++) {
    const double w = want(i);
    ASSERT_NEAR(values[i], w, std::abs(w) * (test::unit_roundoff(dtype) + slack) + (dtype == DType::F16 ? 0x1p-24 : 1e-37))
        << "element " << i << " of " << describe(got.shape()) << " " << describe(dtype);
  }
}

template <class B>
void equal_the_definition(Fixture<B>& on, DType dtype) {
  int seed = 0;
  for (const auto& [rows, cols] : test::odd_sizes()) {
    const Shape shape{rows, cols};
    const auto a = on.random(shape, dtype, ++seed), b = on.random(shape, dtype, ++seed);
    const auto bias = on.random({cols}, DType::F32, ++seed);
    const auto u = to_host(on.queue, a.view()), v = to_host(on.queue, b.view()), c = to_host(on.queue, bias.view());
    const auto n = static_cast<size_t>(cols);
    test::poison(on.queue, shape, dtype);
    // A sum may cancel: its error is that of the arguments' f32 sum, rounded.
    expect_near(
        on, dtype, add(a, b), [&](size_t i) { return static_cast<double>(u[i]) + static_cast<double>(v[i]); }, 1e-7);
    expect_near(on, dtype, mul(a, b), [&](size_t i) { return static_cast<double>(u[i]) * static_cast<double>(v[i]); });
    expect_near(on, dtype, silu(a), [&](size_t i) { return static_cast<double>(u[i]) / (1 + std::exp(-static_cast<double>(u[i]))); });
    expect_near(
        on, dtype, add_bias(a, bias), [&](size_t i) { return static_cast<double>(u[i]) + static_cast<double>(c[i % n]); }, 1e-7);
  }
}

template <class B>
void a_wider_stream_plus_activations_stays_wide(Fixture<B>& on, DType dtype) {
  for (const auto& [rows, cols] : test::odd_sizes()) {
    const auto h = on.random({rows, cols}, DType::F32, 1), x = on.random({rows, cols}, dtype, 2);
    const auto u = to_host(on.queue, h.view()), v = to_host(on.queue, x.view());
    test::poison(on.queue, h.shape(), DType::F32);
    const auto y = add(h, x);
    ASSERT_EQ(y.dtype(), DType::F32);
    const auto got = to_host(on.queue, y.view());
    for (size_t i = 0; i < got.size(); i++) ASSERT_EQ(got[i], u[i] + v[i]) << i;
  }
}

template <class B>
void run_on_columns_of_wider_tensors(Fixture<B>& on, DType dtype) {
  const Shape wide{9, 61};
  const auto a = on.random(wide, dtype, 1), b = on.random(wide, dtype, 2), y = on.filled(wide, dtype, NAN);
  kernel(Add{}, on.queue, y.columns(3, 40).view(), a.columns(1, 38).view(), b.columns(20, 57).view());
  const auto u = to_host(on.queue, a.view()), v = to_host(on.queue, b.view()), got = to_host(on.queue, y.view());
  for (size_t r = 0; r < 9; r++)
    for (size_t c = 0; c < 61; c++) {
      const float value = got[r * 61 + c];
      if (c < 3 || c >= 40) {
        ASSERT_TRUE(std::isnan(value)) << "column " << c << " is not part of the result";
      } else {
        const double want = static_cast<double>(u[r * 61 + c - 2]) + static_cast<double>(v[r * 61 + c + 17]);
        ASSERT_NEAR(value, want, std::abs(want) * test::unit_roundoff(dtype) + 1e-6) << r << ", " << c;
      }
    }
  const auto x = a.columns(7, 40), part = y.columns(0, 33);
  kernel(Silu{}, on.queue, part.view(), x.view());
  const auto in = to_host(on.queue, x.view()), out = to_host(on.queue, part.view());
  for (size_t i = 0; i < in.size(); i++) {
    const double want = static_cast<double>(in[i]) / (1 + std::exp(-static_cast<double>(in[i])));
    ASSERT_NEAR(out[i], want, std::abs(want) * test::unit_roundoff(dtype) + 1e-7) << i;
  }
}

template <class B>
void extremes_stay_what_they_are(Fixture<B>& on, DType dtype) {
  const std::vector<float> x{0, -0.f, 60000, -60000, 80, -80, 100, -100, INFINITY, NAN, 1e-3f, -1e-3f, 20, -20, 5, -5, 1, -1, 9};
  const Shape shape{1, static_cast<int64_t>(x.size())};
  const auto got = to_host(on.queue, silu(on.template tensor<Full>(shape, dtype, x)).view());
  const auto in = to_host(on.queue, on.template tensor<Full>(shape, dtype, x).view());
  for (size_t i = 0; i < x.size(); i++) {
    if (std::isnan(in[i])) {
      ASSERT_TRUE(std::isnan(got[i]));
    } else if (std::isinf(in[i])) {
      ASSERT_EQ(got[i], INFINITY);
    } else {
      const double want = static_cast<double>(in[i]) / (1 + std::exp(-static_cast<double>(in[i])));
      ASSERT_NEAR(got[i], want, std::abs(want) * test::unit_roundoff(dtype) + (dtype == DType::F16 ? 0x1p-24 : 1e-30)) << in[i];
    }
  }
  const auto a = on.template tensor<Full>({1, 3}, dtype, {INFINITY, NAN, 1}),
             b = on.template tensor<Full>({1, 3}, dtype, {-INFINITY, 1, INFINITY});
  const auto sum = to_host(on.queue, add(a, b).view()), product = to_host(on.queue, mul(a, b).view());
  EXPECT_TRUE(std::isnan(sum[0]) && std::isnan(sum[1]) && sum[2] == INFINITY);
  EXPECT_TRUE(product[0] == -INFINITY && std::isnan(product[1]) && product[2] == INFINITY);
}

template <class B>
void nothing_is_nothing(Fixture<B>& on, DType dtype) {
  const auto a = on.random({0, 5}, dtype, 1);
  EXPECT_EQ(add(a, a).shape(), (Shape{0, 5}));
  EXPECT_EQ(silu(a).shape(), (Shape{0, 5}));
}

class ElementwiseTest : public testing::TestWithParam<std::tuple<Isa, DType>> {
 protected:
  Isa isa = std::get<0>(GetParam());
  DType dtype = std::get<1>(GetParam());
  CpuFixture cpu{isa};
};

TEST_P(ElementwiseTest, EqualTheDefinition) { equal_the_definition(cpu, dtype); }
TEST_P(ElementwiseTest, AWiderStreamPlusActivationsStaysWide) { a_wider_stream_plus_activations_stays_wide(cpu, dtype); }
TEST_P(ElementwiseTest, RunOnColumnsOfWiderTensors) { run_on_columns_of_wider_tensors(cpu, dtype); }
TEST_P(ElementwiseTest, ExtremesStayWhatTheyAre) { extremes_stay_what_they_are(cpu, dtype); }
TEST_P(ElementwiseTest, NothingIsNothing) { nothing_is_nothing(cpu, dtype); }

INSTANTIATE_TEST_SUITE_P(All, ElementwiseTest,
                         testing::Combine(testing::ValuesIn(test::isa_levels()), testing::Values(DType::F32, DType::F16, DType::BF16)));

TEST(ElementwiseCuda, EqualTheDefinition) {
  test::on_cuda_with_types([](auto& on, DType dtype) { equal_the_definition(on, dtype); });
}
TEST(ElementwiseCuda, AWiderStreamPlusActivationsStaysWide) {
  test::on_cuda_with_types([](auto& on, DType dtype) { a_wider_stream_plus_activations_stays_wide(on, dtype); });
}
TEST(ElementwiseCuda, RunOnColumnsOfWiderTensors) {
  test::on_cuda_with_types([](auto& on, DType dtype) { run_on_columns_of_wider_tensors(on, dtype); });
}
TEST(ElementwiseCuda, ExtremesStayWhatTheyAre) {
  test::on_cuda_with_types([](auto& on, DType dtype) { extremes_stay_what_they_are(on, dtype); });
}
TEST(ElementwiseCuda, NothingIsNothing) {
  test::on_cuda_with_types([](auto& on, DType dtype) { nothing_is_nothing(on, dtype); });
}

TEST(Elementwise, ErrorsNameBothArguments) {
  CpuFixture cpu;
  const auto a = cpu.filled({2, 3}, DType::F32, 0), b = cpu.filled({3, 2}, DType::F32, 0), half = cpu.filled({2, 3}, DType::F16, 0);
  for (const auto& message : {error_of([&] { add(a, b); }), error_of([&] { mul(a, b); })}) {
    EXPECT_NE(message.find("shapes and dtypes must be equal"), std::string::npos) << message;
    EXPECT_NE(message.find("(2, 3)"), std::string::npos) << message;
    EXPECT_NE(message.find("(3, 2)"), std::string::npos) << message;
  }
  const auto dtypes = error_of([&] { add(half, a); });  // nothing narrows a stream
  EXPECT_NE(dtypes.find("F32"), std::string::npos) << dtypes;
  EXPECT_NE(dtypes.find("F16"), std::string::npos) << dtypes;
  const auto short_bias = error_of([&] { add_bias(a, cpu.filled({4}, DType::F32, 0)); });
  EXPECT_NE(short_bias.find("(2, 3) (4)"), std::string::npos) << short_bias;
  EXPECT_NE(error_of([&] { add_bias(a, cpu.filled({3}, DType::F16, 0)); }).find("F16"), std::string::npos);
}

}  // namespace
}  // namespace infernum
