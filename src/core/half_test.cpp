#include "core/half.h"

#include <gtest/gtest.h>

#include <cmath>

namespace infernum {
namespace {

TEST(Half, EveryF16SurvivesTheRoundTrip) {
  for (uint32_t b = 0; b < 0x10000; b++) {
    F16 h;
    h.bits = static_cast<uint16_t>(b);
    const float f = static_cast<float>(h);
    if (std::isnan(f))
      EXPECT_TRUE(std::isnan(static_cast<float>(F16(f))));
    else
      ASSERT_EQ(F16(f).bits, b) << f;
  }
}

TEST(Half, F16RoundsToNearestEven) {
  EXPECT_EQ(F16(65504.f).bits, 0x7bff);
  EXPECT_EQ(F16(65519.f).bits, 0x7bff);
  EXPECT_EQ(F16(65520.f).bits, 0x7c00);
  EXPECT_EQ(F16(0x1p-24f).bits, 1);
  EXPECT_EQ(F16(0x1p-25f).bits, 0);             // tie to even
  EXPECT_EQ(F16(0x1.8p-24f).bits, 2);           // tie to even
  EXPECT_EQ(F16(1.f + 0x1p-11f).bits, 0x3c00);  // tie to even
  EXPECT_EQ(F16(-1.f - 0x1.8p-10f).bits, 0xbc02);
}

TEST(Half, BF16RoundsToNearestEvenAndKeepsNaN) {
  EXPECT_EQ(BF16(1.f).bits, 0x3f80);
  EXPECT_EQ(BF16(1.f + 0x1p-8f).bits, 0x3f80);
  EXPECT_EQ(BF16(1.f + 0x1.8p-7f).bits, 0x3f82);
  EXPECT_EQ(BF16(INFINITY).bits, 0x7f80);
  EXPECT_TRUE(std::isnan(static_cast<float>(BF16(NAN))));
}

}  // namespace
}  // namespace infernum
