// Shape and the table of element types.
#include "core/shape.h"

#include <gtest/gtest.h>

#include <set>

#include "core/dtype.h"

namespace infernum {
namespace {

template <class F>
std::string error_of(const F& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Shape, CountsElementsAndRows) {
  EXPECT_EQ((Shape{2, 3, 4}).elements(), 24);
  EXPECT_EQ((Shape{2, 3, 4}).rows(), 6);
  EXPECT_EQ((Shape{5}).rows(), 1);
  EXPECT_EQ(Shape{}.elements(), 1);
  EXPECT_EQ((Shape{3, 0}).elements(), 0);
  EXPECT_EQ((Shape{2, 3}).with_last(7), (Shape{2, 7}));
  EXPECT_EQ((Shape{2, 3}).with_first(7), (Shape{7, 3}));
  EXPECT_NE((Shape{2, 3}), (Shape{2, 3, 1}));
  EXPECT_EQ(describe(Shape{2, 3}), "(2, 3)");
  EXPECT_EQ(describe(Shape{}), "()");
}

TEST(Shape, RefusesImpossibleOnes) {
  EXPECT_NE(error_of([] { Shape{1, 2, 3, 4, 5}; }).find("at most 4 dimensions"), std::string::npos);
  EXPECT_NE(error_of([] { Shape{2, -1}; }).find("not negative: -1"), std::string::npos);
  Shape s{1, 1, 1, 1};
  EXPECT_NE(error_of([&] { s.push_back(1); }).find("at most 4 dimensions"), std::string::npos);
}

TEST(Shape, RefusesMoreElementsThanAnyMachineHolds) {
  const int64_t large = INT32_MAX;
  EXPECT_NE(error_of([&] { (Shape{large, large}).elements(); }).find("(2147483647, 2147483647)"), std::string::npos);
  EXPECT_NE(error_of([&] {
              (Shape{large, large, large, large}).elements();
            }).find("too many elements"),
            std::string::npos)
      << "without overflow";
  EXPECT_NE(error_of([&] { (Shape{large, large, large, 2}).rows(); }).find("too many elements"), std::string::npos);
  EXPECT_EQ((Shape{large, large, 0}).elements(), 0);
  EXPECT_EQ((Shape{1 << 20, 1 << 20}).elements(), int64_t{1} << 40);
}

TEST(DType, TheTableIsInTheOrderOfTheEnum) {
  EXPECT_EQ(std::size(dtype_infos), static_cast<size_t>(DType::Q6_K_R16) + 1);
  EXPECT_EQ(describe(DType::F32), "F32");
  EXPECT_EQ(describe(DType::C64), "C64");
  EXPECT_EQ(describe(DType::F4), "F4");
  EXPECT_EQ(describe(DType::TQ2_0), "TQ2_0");
  EXPECT_EQ(describe(DType::Q6_K_R16), "Q6_K_R16");
  std::set<std::string_view> names;
  for (const DTypeInfo& i : dtype_infos) {
    EXPECT_TRUE(names.insert(i.name).second) << i.name;
    EXPECT_GE(i.block, 1);
    EXPECT_GE(i.bytes, 1);
  }
  EXPECT_EQ(bytes_of(DType::Q4_K, 512), 288);
  EXPECT_EQ(bytes_of(DType::F6E2M3, 8), 6);
  EXPECT_EQ(bytes_of(DType::BF16, 3), 6);
  EXPECT_TRUE(is_float(DType::BF16) && !is_float(DType::F64) && !is_float(DType::I32));
  EXPECT_TRUE(is_gguf_block(DType::Q4_0) && is_gguf_block(DType::TQ2_0) && !is_gguf_block(DType::F4) && !is_gguf_block(DType::Q4_0_R16));
  EXPECT_TRUE(is_packed(DType::Q4_0_R16) && !is_packed(DType::TQ2_0));
}

}  // namespace
}  // namespace infernum
