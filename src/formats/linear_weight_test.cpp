// multiply_heads: every head meets its own matrix, in each weight format.
#include "formats/linear_weight.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/test_support.h"
#include "quant/quant.h"

namespace infernum {
namespace {

using test::CpuFixture;

/// Random weights (heads, n, k), and the numbers in them.
Matrices<Cpu> random_weights(CpuFixture& cpu, DType type, const Shape& shape, std::vector<float>& values) {
  values = test::random_values(shape.elements(), 3);
  const auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(bytes_of(type, shape.elements())));
  quantize(type, values.data(), bytes->data(), shape.elements());
  dequantize(type, bytes->data(), values.data(), shape.elements());
  std::vector<StoredTensor> heads;
  const int64_t part = bytes_of(type, shape[1] * shape[2]);
  for (int64_t h = 0; h < shape[0]; h++) heads.push_back({"w", type, {shape[1], shape[2]}, bytes->data() + h * part, part, bytes, nullptr});
  return load_weights<Cpu>(cpu.device, heads);
}

class MultiplyHeads : public testing::TestWithParam<std::tuple<Isa, DType>> {};

TEST_P(MultiplyHeads, EveryHeadMeetsItsMatrix) {
  const auto [isa, type] = GetParam();
  CpuFixture cpu(isa);
  const int64_t k = is_float(type) ? 37 : 64;
  for (auto [tokens, heads, n] : std::vector<std::tuple<int64_t, int64_t, int64_t>>{{1, 1, 1}, {1, 16, 40}, {7, 3, 33}, {40, 5, 16}}) {
    std::vector<float> w;
    const auto weight = random_weights(cpu, type, {heads, n, k}, w);
    const auto x = cpu.random<Shard>({tokens, heads * k}, DType::F32, 5);
    const auto in = to_host(cpu.queue, x.view());
    test::poison(cpu.queue, {tokens, heads * n}, DType::F32);
    test::poison(cpu.queue, {tokens, heads}, DType::I32);
    const auto y = multiply_heads<Shard>(x, weight);
    ASSERT_EQ(y.shape(), (Shape{tokens, heads * n}));
    const auto got = to_host(cpu.queue, y.view());
    for (int64_t t = 0; t < tokens; t++)
      for (int64_t h = 0; h < heads; h++)
        for (int64_t j = 0; j < n; j++) {
          double want = 0, size = 0;
          for (int64_t i = 0; i < k; i++) {
            const double term = static_cast<double>(in[static_cast<size_t>((t * heads + h) * k + i)]) *
                                static_cast<double>(w[static_cast<size_t>((h * n + j) * k + i)]);
            want += term;
            size += std::abs(term);
          }
          // Blocks meet activations rounded to int8.
          ASSERT_NEAR(got[static_cast<size_t>((t * heads + h) * n + j)], want, size * (is_float(type) ? 1e-6 : 1e-2))
              << "token " << t << " head " << h << " row " << j;
        }
  }
}

INSTANTIATE_TEST_SUITE_P(All, MultiplyHeads,
                         testing::Combine(testing::ValuesIn(test::isa_levels()), testing::Values(DType::F32, DType::BF16, DType::Q8_0)));

TEST(MultiplyHeadsErrors, NameTheShapes) {
  CpuFixture cpu;
  const Matrices<Cpu> weight(std::vector(3, cpu.filled({4, 5}, DType::F32, 0)));
  const auto multiply = [&](const Shape& x) { return test::error_of([&] { multiply_heads<Full>(cpu.random(x, DType::F32, 1), weight); }); };
  EXPECT_EQ(multiply({2, 15}), "no error");
  EXPECT_NE(multiply({2, 12}).find("(2, 12) (3, 4, 5)"), std::string::npos);
}

}  // namespace
}  // namespace infernum
