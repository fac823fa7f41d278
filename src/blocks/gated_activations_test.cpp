// GeGlu and ClampedSwiGlu: fused and decomposed forms against the definition in double precision.
#include <gtest/gtest.h>

#include <cmath>

#include "backends/trace/trace.h"
#include "blocks/clamped_swiglu.h"
#include "blocks/geglu.h"
#include "ops/cuda_test_support.h"

namespace infernum {
namespace {

using test::CpuFixture;
using test::error_of;
using test::Fixture;

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }
double geglu_of(double g, double u) { return g * sigmoid_of(2 * std::sqrt(2 / M_PI) * (g + 0.044715 * g * g * g)) * u; }
double clamped_of(double g, double u, double alpha, double limit) {
  g = std::fmin(g, limit);
  return (std::fmin(std::fmax(u, -limit), limit) + 1) * g * sigmoid_of(alpha * g);
}

template <class B, Layout L>
std::vector<float> values(Fixture<B>& on, const Tensor<B, L>& t) {
  return to_host(on.queue, t.view());
}

/// block(gate, up) = f(gate, up), |f| <= size; `parts` roundings to the type in the decomposed form, one in the fused.
template <class B>
void expect_equal(Fixture<B>& on, DType dtype, const auto& block, const std::function<double(double, double)>& f,
                  const std::function<double(double, double)>& size, double parts) {
  int seed = 0;
  for (const auto& [rows, cols] : test::odd_sizes()) {
    const auto gate = on.template tensor<Shard>({rows, cols}, dtype, test::random_values(rows * cols, ++seed, 2)),
               up = on.template tensor<Shard>({rows, cols}, dtype, test::random_values(rows * cols, ++seed, 2));
    const auto g = values(on, gate), u = values(on, up);
    for (Fusion fusion : {Fusion::Off, Fusion::On, Fusion::Check}) {
      on.device.fusion = fusion;
      test::poison(on.queue, gate.shape(), dtype, 8);
      const auto y = values(on, block(gate, up));
      const double roundings = fusion == Fusion::Off ? parts : 1;
      for (size_t i = 0; i < y.size(); i++) {
        const double a = g[i], b = u[i], unit = test::unit_roundoff(dtype);
        const double bound = fusion == Fusion::Off ? size(a, b) : std::abs(f(a, b)) + 1e-5 * size(a, b);
        ASSERT_NEAR(y[i], f(a, b), bound * (roundings * unit + 4e-6) + (dtype == DType::F16 ? 0x1p-20 : 1e-36))
            << "element " << i << " gate " << a << " up " << b;
      }
    }
  }
}

template <class B>
void ge_glu_equals_its_definition(Fixture<B>& on, DType dtype) {
  expect_equal(
      on, dtype, [](const auto& gate, const auto& up) { return geglu(gate, up); }, geglu_of,
      [](double g, double u) { return std::abs(geglu_of(g, u)); }, 2.1);
}

template <class B>
void clamped_swi_glu_equals_its_definition(Fixture<B>& on, DType dtype) {
  // alpha * g is rounded before the exponential: |alpha * g| <= 12 more roundings. up + 1 may cancel.
  expect_equal(
      on, dtype, [](const auto& gate, const auto& up) { return clamped_swiglu(gate, up, 1.702f, 3); },
      [](double g, double u) { return clamped_of(g, u, static_cast<double>(1.702f), 3); },
      [](double g, double u) { return std::abs(std::fmin(g, 3)) * sigmoid_of(1.702 * std::fmin(g, 3)) * (std::fmin(std::abs(u), 3) + 1); },
      20);
}

template <class B>
void nan_stays_nan(Fixture<B>& on, DType dtype) {
  for (Fusion fusion : {Fusion::Off, Fusion::On, Fusion::Check}) {
    on.device.fusion = fusion;
    const auto a = on.template tensor<Full>({1, 3}, dtype, {NAN, 1, 1}), b = on.template tensor<Full>({1, 3}, dtype, {1, NAN, 1});
    for (const auto& y : {values(on, geglu(a, b)), values(on, clamped_swiglu(a, b, 1.702f, 7))})
      EXPECT_TRUE(std::isnan(y[0]) && std::isnan(y[1]) && std::isfinite(y[2]));
  }
}

class GatedActivationsTest : public testing::TestWithParam<std::tuple<Isa, DType>> {
 protected:
  Isa isa = std::get<0>(GetParam());
  DType dtype = std::get<1>(GetParam());
  CpuFixture cpu{isa};
};

TEST_P(GatedActivationsTest, GeGluEqualsItsDefinition) { ge_glu_equals_its_definition(cpu, dtype); }
TEST_P(GatedActivationsTest, ClampedSwiGluEqualsItsDefinition) { clamped_swi_glu_equals_its_definition(cpu, dtype); }
TEST_P(GatedActivationsTest, NanStaysNan) { nan_stays_nan(cpu, dtype); }

INSTANTIATE_TEST_SUITE_P(All, GatedActivationsTest,
                         testing::Combine(testing::ValuesIn(test::isa_levels()), testing::Values(DType::F32, DType::F16, DType::BF16)));

TEST(GatedActivationsCuda, GeGluEqualsItsDefinition) {
  test::on_cuda_with_types([](auto& on, DType dtype) { ge_glu_equals_its_definition(on, dtype); });
}
TEST(GatedActivationsCuda, ClampedSwiGluEqualsItsDefinition) {
  test::on_cuda_with_types([](auto& on, DType dtype) { clamped_swi_glu_equals_its_definition(on, dtype); });
}
TEST(GatedActivationsCuda, NanStaysNan) {
  test::on_cuda_with_types([](auto& on, DType dtype) { nan_stays_nan(on, dtype); });
}

TEST(GatedActivations, ClampedSwiGluGivesThePublishedValues) {
  CpuFixture cpu;
  for (Fusion fusion : {Fusion::Off, Fusion::On}) {
    cpu.device.fusion = fusion;
    const auto gate = cpu.tensor<Full>({1, 3}, DType::F32, {1, 10, -3}), up = cpu.tensor<Full>({1, 3}, DType::F32, {.5f, -9, 2});
    const auto y = to_host(cpu.queue, clamped_swiglu(gate, up, 1.702f, 7).view());
    EXPECT_NEAR(y[0], 1.268694, 1e-6);
    EXPECT_NEAR(y[1], -41.99972, 1e-5);
    EXPECT_NEAR(y[2], -0.05421391, 1e-7);
  }
}

TEST(GatedActivations, ErrorsNameShapesAndTypes) {
  CpuFixture cpu;
  const auto a = cpu.filled({2, 3}, DType::F32, 0), b = cpu.filled({2, 4}, DType::F32, 0), half = cpu.filled({2, 3}, DType::F16, 0);
  EXPECT_NE(error_of([&] { geglu(a, b); }).find("geglu: shapes differ: (2, 3) (2, 4)"), std::string::npos);
  EXPECT_NE(error_of([&] { clamped_swiglu(a, b, 1, 1); }).find("clamped_swiglu: shapes differ: (2, 3) (2, 4)"), std::string::npos);
  EXPECT_NE(error_of([&] { geglu(a, half); }).find("F32 F16"), std::string::npos);
  EXPECT_NE(error_of([&] { clamped_swiglu(a, half, 1, 1); }).find("F32 F16"), std::string::npos);
  EXPECT_NE(error_of([&] { clamped_swiglu(a, a, 1, -1); }).find("not negative: -1"), std::string::npos);
}

TEST(GatedActivations, ATraceShowsTheirParts) {
  Queue<Trace> queue;
  Device<Trace> device;
  device.queue = &queue;
  const Tensor<Trace> x(device, {2, 8}, DType::F32);
  geglu(x, x);
  clamped_swiglu(x, x, 1.702f, 7);
  std::vector<std::string> nodes;
  for (const TraceNode& n : queue.graph.nodes) nodes.push_back(n.scope + n.op);
  EXPECT_EQ(nodes, (std::vector<std::string>{"geglu/gelu_tanh", "geglu/mul", "clamped_swiglu/clamp", "clamped_swiglu/clamp",
                                             "clamped_swiglu/scale", "clamped_swiglu/sigmoid", "clamped_swiglu/mul", "clamped_swiglu/mul",
                                             "clamped_swiglu/add"}));
}

}  // namespace
}  // namespace infernum
