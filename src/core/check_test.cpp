#include "core/check.h"

#include <gtest/gtest.h>

#include "core/dtype.h"
#include "core/shape.h"

namespace infernum {
namespace {

TEST(Check, MessageHoldsRuleValuesAndPlace) {
  try {
    check(false, "add: shapes differ", Shape{2, 3}, Shape{2, 4}, DType::BF16);
    FAIL() << "did not throw";
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()).substr(0, 39), "add: shapes differ: (2, 3) (2, 4) BF16 ") << e.what();
    EXPECT_NE(std::string(e.what()).find("check_test.cpp:"), std::string::npos);
  }
}

TEST(Shape, RowsElementsAndLimits) {
  const Shape s{2, 3, 4};
  EXPECT_EQ(s.rows(), 6);
  EXPECT_EQ(s.elements(), 24);
  EXPECT_EQ(s.with_last(7), (Shape{2, 3, 7}));
  EXPECT_EQ(Shape{}.elements(), 1);
  EXPECT_THROW((Shape{1, 2, 3, 4, 5}), Error);
  EXPECT_THROW((Shape{-1}), Error);
}

TEST(DType, BytesOfBlocks) {
  EXPECT_EQ(bytes_of(DType::Q4_K, 512), 288);
  EXPECT_EQ(bytes_of(DType::F4, 6), 3);
  EXPECT_EQ(bytes_of(DType::F6E2M3, 8), 6);
  EXPECT_EQ(info(DType::TQ2_0).name, "TQ2_0");
}

}  // namespace
}  // namespace infernum
