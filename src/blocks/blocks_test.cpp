// Blocks: the fused form against the decomposed one, what Fusion::Check sees, and how a block looks in a trace.
#include "blocks/block.h"

#include <gtest/gtest.h>

#include <cmath>

#include "backends/trace/trace.h"
#include "blocks/add_rms_norm.h"
#include "blocks/swiglu.h"
#include "ops/cuda_test_support.h"

namespace infernum {
// Blocks with a mistake in their fused form. At namespace scope, where run() looks for kernels.
struct WrongEverywhere : Block<WrongEverywhere> {
  static constexpr auto name = "wrong_everywhere";
  template <class B, Complete L>
  static Tensor<B, L> out(const Tensor<B, L>& x) {
    return empty_like(x);
  }
  template <class B, Complete L>
  static Tensor<B, L> decomposed(const Tensor<B, L>& x) {
    return silu(x);
  }
};
void kernel(WrongEverywhere, Queue<Cpu>&, View<Cpu> y, View<Cpu> x);
void kernel(WrongEverywhere, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x) { kernel(Mul{}, q, y, x, x); }

/// Two outputs, of which one element of the second is off.
struct WrongOnce : Block<WrongOnce> {
  static constexpr auto name = "wrong_once";
  template <class B>
  static std::tuple<Tensor<B>, Tensor<B>> out(const Tensor<B>& x) {
    return {empty_like(x), empty_like(x)};
  }
  template <class B>
  static std::tuple<Tensor<B>, Tensor<B>> decomposed(const Tensor<B>& x) {
    return {silu(x), mul(x, x)};
  }
};
void kernel(WrongOnce, Queue<Cpu>&, View<Cpu> a, View<Cpu> b, View<Cpu> x);
void kernel(WrongOnce, Queue<Cpu>& q, View<Cpu> a, View<Cpu> b, View<Cpu> x) {
  kernel(Silu{}, q, a, x);
  kernel(Mul{}, q, b, x, x);
  b.as<float>()[5] += 0.01f;
}

/// A block without any kernel.
struct Plain : Block<Plain> {
  static constexpr auto name = "plain";
  template <class B>
  static Tensor<B> out(const Tensor<B>& x) {
    return empty_like(x);
  }
  template <class B>
  static Tensor<B> decomposed(const Tensor<B>& x) {
    return add(x, x);
  }
};

namespace {

using test::CpuFixture;
using test::error_of;
using test::Fixture;

template <class B, Layout L>
std::vector<float> values(Fixture<B>& on, const Tensor<B, L>& t) {
  return to_host(on.queue, t.view());
}

template <class B>
void swi_glu_equals_its_definition_and_its_parts(Fixture<B>& on, DType dtype) {
  int seed = 0;
  for (const auto& [rows, cols] : test::odd_sizes()) {
    const auto gate = on.template random<Shard>({rows, cols}, dtype, ++seed), up = on.template random<Shard>({rows, cols}, dtype, ++seed);
    const auto g = values(on, gate), u = values(on, up);
    for (Fusion fusion : {Fusion::Off, Fusion::On, Fusion::Check}) {
      on.device.fusion = fusion;
      test::poison(on.queue, gate.shape(), dtype);
      const auto y = values(on, swiglu(gate, up));
      // The decomposed form rounds silu(gate) to the type on the way.
      const double roundings = fusion == Fusion::Off ? 2.1 : 1;
      for (size_t i = 0; i < y.size(); i++) {
        const double want = static_cast<double>(g[i]) / (1 + std::exp(-static_cast<double>(g[i]))) * static_cast<double>(u[i]);
        ASSERT_NEAR(y[i], want, std::abs(want) * roundings * test::unit_roundoff(dtype) + (dtype == DType::F16 ? 0x1p-22 : 1e-36))
            << "element " << i;
      }
    }
  }
}

template <class B>
void add_rms_norm_equals_its_definition_and_its_parts(Fixture<B>& on, DType dtype) {
  int seed = 0;
  for (const auto& [rows, cols] : test::odd_sizes()) {
    const auto h = on.random({rows, cols}, dtype, ++seed), x = on.random({rows, cols}, dtype, ++seed),
               w = on.random({cols}, DType::F32, ++seed);
    const auto a = values(on, h), b = values(on, x), c = values(on, w);
    for (Fusion fusion : {Fusion::Off, Fusion::On, Fusion::Check}) {
      on.device.fusion = fusion;
      test::poison(on.queue, h.shape(), dtype);
      const auto [sum, y] = add_rms_norm(h, x, w, 1e-5f);
      const auto s = values(on, sum), n = values(on, y);
      for (size_t r = 0; r < static_cast<size_t>(rows); r++) {
        const size_t first = r * static_cast<size_t>(cols);
        double squares = 0;
        const auto total = [&](size_t i) { return static_cast<double>(a[first + i]) + static_cast<double>(b[first + i]); };
        for (size_t i = 0; i < static_cast<size_t>(cols); i++) squares += total(i) * total(i);
        const double scale = 1 / std::sqrt(squares / static_cast<double>(cols) + 1e-5);
        const double u = test::unit_roundoff(dtype), tiny = dtype == DType::F16 ? 0x1p-22 : 1e-7;
        for (size_t i = 0; i < static_cast<size_t>(cols); i++) {
          ASSERT_NEAR(s[first + i], total(i), std::abs(total(i)) * u + tiny) << "sum, row " << r << " column " << i;
          const double want = total(i) * scale * static_cast<double>(c[i]);
          // The decomposed form norms the rounded sum, the fused form the exact one.
          ASSERT_NEAR(n[first + i], want,
                      std::abs(want) * (fusion == Fusion::Off ? 3.2 * u : u + 4e-6) +
                          4 * tiny * std::abs(static_cast<double>(c[i])) * std::max(1., scale) + tiny)
              << "norm, row " << r << " column " << i;
        }
      }
    }
  }
}

template <class B>
void add_rms_norm_keeps_a_wider_stream(Fixture<B>& on, DType dtype) {
  on.device.dtype = dtype;
  for (const auto& [rows, cols] : test::odd_sizes()) {
    const auto h = on.random({rows, cols}, DType::F32, 1), x = on.random({rows, cols}, dtype, 2), w = on.random({cols}, DType::F32, 3);
    const auto a = values(on, h), b = values(on, x), c = values(on, w);
    for (Fusion fusion : {Fusion::Off, Fusion::On, Fusion::Check}) {
      on.device.fusion = fusion;
      test::poison(on.queue, h.shape(), DType::F32);
      test::poison(on.queue, h.shape(), dtype);
      const auto [sum, y] = add_rms_norm(h, x, w, 1e-5f);
      ASSERT_EQ(sum.dtype(), DType::F32);
      ASSERT_EQ(y.dtype(), dtype);
      const auto s = values(on, sum), n = values(on, y);
      for (size_t first = 0; first < a.size(); first += static_cast<size_t>(cols)) {
        double squares = 0;
        for (size_t i = first; i < first + static_cast<size_t>(cols); i++) squares += std::pow(static_cast<double>(s[i]), 2);
        const double scale = 1 / std::sqrt(squares / static_cast<double>(cols) + 1e-5);
        for (size_t i = first; i < first + static_cast<size_t>(cols); i++) {
          ASSERT_EQ(s[i], a[i] + b[i]) << "sum, element " << i;
          const double want = static_cast<double>(s[i]) * scale * static_cast<double>(c[i - first]);
          ASSERT_NEAR(n[i], want, std::abs(want) * (test::unit_roundoff(dtype) + 2e-6) + (dtype == DType::F16 ? 0x1p-24 : 1e-37)) << i;
        }
      }
    }
  }
}

template <class B>
void nan_is_not_a_difference(Fixture<B>& on, DType dtype) {
  on.device.fusion = Fusion::Check;
  const auto gate = on.template tensor<Full>({1, 3}, dtype, {NAN, 1, INFINITY}), up = on.template tensor<Full>({1, 3}, dtype, {1, NAN, 2});
  const auto y = values(on, swiglu(gate, up));
  EXPECT_TRUE(std::isnan(y[0]) && std::isnan(y[1]) && y[2] == INFINITY);
}

class BlocksTest : public testing::TestWithParam<std::tuple<Isa, DType>> {
 protected:
  Isa isa = std::get<0>(GetParam());
  DType dtype = std::get<1>(GetParam());
  CpuFixture cpu{isa};
};

TEST_P(BlocksTest, SwiGluEqualsItsDefinitionAndItsParts) { swi_glu_equals_its_definition_and_its_parts(cpu, dtype); }
TEST_P(BlocksTest, AddRmsNormEqualsItsDefinitionAndItsParts) { add_rms_norm_equals_its_definition_and_its_parts(cpu, dtype); }
TEST_P(BlocksTest, AddRmsNormKeepsAWiderStream) { add_rms_norm_keeps_a_wider_stream(cpu, dtype); }
TEST_P(BlocksTest, NanIsNotADifference) { nan_is_not_a_difference(cpu, dtype); }

TEST_P(BlocksTest, CheckFindsAWrongFusedForm) {
  const auto x = cpu.random({3, 40}, dtype, 1);
  constexpr WrongEverywhere wrong;
  cpu.device.fusion = Fusion::Check;
  const auto message = error_of([&] { wrong(x); });
  EXPECT_NE(message.find("fused and decomposed differ: wrong_everywhere element"), std::string::npos) << message;
  cpu.device.fusion = Fusion::Off;
  EXPECT_EQ(values(cpu, wrong(x)), values(cpu, silu(x))) << "Off does not run the fused form";
  cpu.device.fusion = Fusion::On;
  EXPECT_EQ(values(cpu, wrong(x)), values(cpu, mul(x, x))) << "On runs the fused form alone";
}

INSTANTIATE_TEST_SUITE_P(All, BlocksTest,
                         testing::Combine(testing::ValuesIn(test::isa_levels()), testing::Values(DType::F32, DType::F16, DType::BF16)));

TEST(BlocksCuda, SwiGluEqualsItsDefinitionAndItsParts) {
  test::on_cuda_with_types([](auto& on, DType dtype) { swi_glu_equals_its_definition_and_its_parts(on, dtype); });
}
TEST(BlocksCuda, AddRmsNormEqualsItsDefinitionAndItsParts) {
  test::on_cuda_with_types([](auto& on, DType dtype) { add_rms_norm_equals_its_definition_and_its_parts(on, dtype); });
}
TEST(BlocksCuda, AddRmsNormKeepsAWiderStream) {
  test::on_cuda_with_types([](auto& on, DType dtype) { add_rms_norm_keeps_a_wider_stream(on, dtype); });
}
TEST(BlocksCuda, NanIsNotADifference) {
  test::on_cuda_with_types([](auto& on, DType dtype) { nan_is_not_a_difference(on, dtype); });
}

TEST(Blocks, CheckFindsOneWrongElementOfTheSecondOutput) {
  CpuFixture cpu;
  cpu.device.fusion = Fusion::Check;
  const auto message = error_of([&] { WrongOnce{}(cpu.random({2, 4}, DType::F32, 1)); });
  EXPECT_NE(message.find("wrong_once element 5"), std::string::npos) << message;
}

TEST(Blocks, WithoutAKernelTheDefinitionRuns) {
  CpuFixture cpu;
  for (Fusion fusion : {Fusion::Off, Fusion::On, Fusion::Check}) {
    cpu.device.fusion = fusion;
    EXPECT_EQ(to_host(cpu.queue, Plain{}(cpu.filled({1, 2}, DType::F32, 3)).view()), (std::vector<float>{6, 6}));
  }
}

TEST(Blocks, ErrorsNameTheShapes) {
  CpuFixture cpu;
  const auto a = cpu.filled({2, 3}, DType::F32, 0), b = cpu.filled({2, 4}, DType::F32, 0);
  EXPECT_NE(error_of([&] { swiglu(a, b); }).find("swiglu: shapes differ: (2, 3) (2, 4)"), std::string::npos);
  EXPECT_NE(error_of([&] { add_rms_norm(a, b, cpu.filled({3}, DType::F32, 0), 1e-6f); }).find("(2, 3) (2, 4) (3)"), std::string::npos);
  EXPECT_NE(error_of([&] { add_rms_norm(a, a, cpu.filled({4}, DType::F32, 0), 1e-6f); }).find("(2, 3) (2, 3) (4)"), std::string::npos);
  const auto half = cpu.filled({2, 3}, DType::F16, 0);
  for (Fusion fusion : {Fusion::Off, Fusion::On}) {  // the same rules, whichever form runs
    cpu.device.fusion = fusion;
    EXPECT_NE(error_of([&] { swiglu(a, half); }).find("F16"), std::string::npos);
    EXPECT_NE(error_of([&] { add_rms_norm(half, a, cpu.filled({3}, DType::F32, 0), 1e-6f); }).find("F16"), std::string::npos);
    EXPECT_NE(error_of([&] { add_rms_norm(a, a, cpu.filled({3}, DType::F16, 0), 1e-6f); }).find("F16"), std::string::npos);
  }
}

TEST(Blocks, ATraceShowsTheBlockAndItsParts) {
  Queue<Trace> queue;
  Device<Trace> device;
  device.queue = &queue;
  const Tensor<Trace> x(device, {2, 8}, DType::F32), w(device, {8}, DType::F32);
  swiglu(x, x);
  add_rms_norm(x, x, w, 1e-6f);
  add(x, x);
  std::vector<std::string> nodes;
  for (const TraceNode& n : queue.graph.nodes) nodes.push_back(n.scope + n.op);
  EXPECT_EQ(nodes, (std::vector<std::string>{"swiglu/silu", "swiglu/mul", "add_rms_norm/add", "add_rms_norm/rms_norm", "add"}));
}

}  // namespace
}  // namespace infernum
