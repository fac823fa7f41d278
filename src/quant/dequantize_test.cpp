// Dequantisation against the reference rows of tests/data/gguf and against hand-made blocks with known sums.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "quant/blocks.h"
#include "quant/quant.h"
#include "support/raw_safetensors.h"

namespace infernum {
namespace {

constexpr DType all_types[] = {DType::F16,    DType::BF16,   DType::Q8_0,  DType::Q4_0,  DType::Q4_1,  DType::Q5_0,
                               DType::Q5_1,   DType::Q2_K,   DType::Q3_K,  DType::Q4_K,  DType::Q5_K,  DType::Q6_K,
                               DType::IQ4_NL, DType::IQ4_XS, DType::IQ3_S, DType::MXFP4, DType::TQ1_0, DType::TQ2_0};

class EveryType : public ::testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Dequantize, EveryType, ::testing::ValuesIn(all_types), [](const auto& p) { return infernum::describe(p.param); });

TEST_P(EveryType, GivesTheReferenceValues) {
  static const auto file = testutil::read_raw_safetensors("tests/data/gguf/blocks.safetensors");
  const std::string name(info(GetParam()).name);
  const auto& bytes = file.at(name + ".bytes").bytes;
  const auto expected = file.at(name + ".f32").values<float>();
  std::vector<float> got(expected.size());
  ASSERT_EQ(bytes.size(), static_cast<size_t>(bytes_of(GetParam(), static_cast<int64_t>(got.size()))));
  dequantize(GetParam(), bytes.data(), got.data(), static_cast<int64_t>(got.size()));
  for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], expected[i]) << "element " << i;
}

TEST_P(EveryType, ReadsFromAnyAddressAndWritesOnlyItsElements) {
  const int64_t n = 2 * info(GetParam()).block;
  std::vector<std::byte> bytes(static_cast<size_t>(bytes_of(GetParam(), n)) + 1, std::byte{0x2a});
  std::vector<float> at_0(static_cast<size_t>(n) + 1, -7), at_1 = at_0;
  dequantize(GetParam(), bytes.data(), at_0.data(), n);
  dequantize(GetParam(), bytes.data() + 1, at_1.data(), n);
  EXPECT_EQ(at_0, at_1);
  EXPECT_EQ(at_0.back(), -7);
}

// Bytes (37 i + 11) mod 256 with every f16 field 1: sum of x, sum of (i + 1) x, first, second, last.
struct KnownSums {
  DType type;
  std::vector<int> ones;
  double sum, weighted, x0, x1, last;
};

TEST(Dequantize, GivesTheKnownSums) {
  const KnownSums cases[] = {
      {DType::Q4_0, {0}, -21, -518, -3, 2, 0},
      {DType::Q4_1, {0, 2}, 277, 4511, 16, 5, 13},
      {DType::Q5_0, {0}, 15, 112, 9, -2, 1},
      {DType::Q5_1, {0, 2}, 537, 8429, 20, 25, 6},
      {DType::Q8_0, {0}, -176, -8080, 85, 122, -48},
      {DType::Q2_K, {80, 82}, 1219, 127446, 33, 0, 3},
      {DType::Q3_K, {108}, 958, 177145, 81, -108, 42},
      {DType::Q4_K, {0, 2}, 50216, 7097128, 290, -51, 31},
      {DType::Q5_K, {0, 2}, 111992, 15551736, 786, -51, 91},
      {DType::Q6_K, {208}, 4612, 784420, -1431, 1696, -60},
      {DType::IQ4_NL, {0}, -257, -6919, -35, 25, 1},
      {DType::IQ4_XS, {0}, -11005, -2091134, 65, -1, -16},
      {DType::IQ3_S, {0}, 1456, 202790, -81, 243, 225},
      {DType::TQ1_0, {52}, -2, -131, -1, -1, -1},
      {DType::TQ2_0, {64}, 129, 17245, 2, -1, -1},
      {DType::MXFP4, {}, 12.5, 319, 0, 3, 3},
  };
  for (const auto& c : cases) {
    std::vector<std::byte> block(static_cast<size_t>(info(c.type).bytes));
    for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<std::byte>(37 * i + 11);
    for (int at : c.ones) block[static_cast<size_t>(at)] = std::byte{0}, block[static_cast<size_t>(at) + 1] = std::byte{0x3c};
    if (c.type == DType::MXFP4) block[0] = std::byte{127};
    std::vector<float> x(static_cast<size_t>(info(c.type).block));
    dequantize(c.type, block.data(), x.data(), info(c.type).block);
    double sum = 0, weighted = 0;
    for (size_t i = 0; i < x.size(); ++i) sum += x[i], weighted += static_cast<double>(i + 1) * x[i];
    EXPECT_EQ(sum, c.sum) << info(c.type).name;
    EXPECT_EQ(weighted, c.weighted) << info(c.type).name;
    EXPECT_EQ(x[0], c.x0) << info(c.type).name;
    EXPECT_EQ(x[1], c.x1) << info(c.type).name;
    EXPECT_EQ(x.back(), c.last) << info(c.type).name;
  }
}

TEST(Dequantize, ScalesOfMxfp4ReachTheEndsOfFloat) {
  std::vector<std::byte> block(17, std::byte{0x22});  // every element 1.0
  float x[32];
  const auto first = [&](int e) {
    block[0] = static_cast<std::byte>(e);
    dequantize(DType::MXFP4, block.data(), x, 32);
    return x[0];
  };
  for (int e = 0; e < 255; ++e) EXPECT_EQ(first(e), std::ldexp(1.0f, e - 127)) << e;
  EXPECT_TRUE(std::isnan(first(255)));
}

TEST(Dequantize, RefusesWhatItCannotConvert) {
  std::byte bytes[64]{};
  float x[64];
  EXPECT_THAT([&] { dequantize(DType::Q4_0, bytes, x, 31); }, ::testing::ThrowsMessage<Error>(::testing::HasSubstr("Q4_0 length 31")));
  EXPECT_THAT([&] { dequantize(DType::I32, bytes, x, 4); }, ::testing::ThrowsMessage<Error>(::testing::HasSubstr("I32")));
  dequantize(DType::Q4_0, nullptr, nullptr, 0);
}

}  // namespace
}  // namespace infernum
