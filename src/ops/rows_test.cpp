// Embed, TakeRows, SliceHeads and ConcatHeads: what is read, and every type a table may have.
#include "ops/rows.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/half.h"
#include "ops/cuda_test_support.h"
#include "ops/rope.h"
#include "quant/quant.h"

namespace infernum {
namespace {

using test::CpuFixture;
using test::error_of;
using test::Fixture;

std::vector<DType> table_types() {
  std::vector<DType> types{DType::F32, DType::F16, DType::BF16};
  for (int t = static_cast<int>(DType::Q4_0); t <= static_cast<int>(DType::TQ2_0); t++) types.push_back(static_cast<DType>(t));
  return types;
}

/// embed() of the ids gives what the table (5, width) of a type stores.
template <class B>
void expect_embedded(Fixture<B>& on, DType type, int64_t width, const std::vector<int32_t>& ids) {
  const Shape shape{5, width};
  const auto values = test::random_values(shape.elements(), 3, 0.3f);
  std::vector<std::byte> raw(static_cast<size_t>(bytes_of(type, shape.elements())), std::byte{0x35});  // every code is a number
  if (can_quantize(type)) quantize(type, values.data(), raw.data(), shape.elements());
  const Tensor<B> table(on.device, shape, type);
  test::copy_bytes(on.queue, table.view().data, raw);
  std::vector<float> stored(static_cast<size_t>(shape.elements()));
  dequantize(type, raw.data(), stored.data(), shape.elements());
  const auto tokens = static_cast<int64_t>(ids.size());
  test::poison(on.queue, {tokens, width}, DType::F32);
  const auto y = embed(table, on.ints(ids));
  ASSERT_EQ(y.shape(), (Shape{tokens, width}));
  ASSERT_EQ(y.dtype(), DType::F32) << "whatever the activations are";
  const auto got = to_host(on.queue, y.view());
  for (size_t t = 0; t < ids.size(); t++)
    for (size_t c = 0; c < static_cast<size_t>(width); c++)
      ASSERT_EQ(got[t * static_cast<size_t>(width) + c], stored[static_cast<size_t>(ids[t]) * static_cast<size_t>(width) + c])
          << describe(type) << " token " << t << " column " << c;
}

template <class B>
void embed_reads_every_stored_type(Fixture<B>& on, DType dtype) {
  on.device.dtype = dtype;
  for (DType type : table_types())
    for (const int64_t width : {info(type).block, 512, info(type).block == 1 ? 33 : 768})
      for (const std::vector<int32_t>& ids : {std::vector<int32_t>{4, 0, 4, 2, 1, 3, 0}, std::vector<int32_t>{3}})
        expect_embedded(on, type, width, ids);
}

template <class B>
void take_rows_copies_the_bits_of_rows(Fixture<B>& on, DType dtype) {
  for (const auto& [rows, cols] : test::odd_sizes()) {
    const auto x = on.random({rows, cols}, dtype, 5);
    const std::vector<int32_t> wanted{static_cast<int32_t>(rows - 1), 0, static_cast<int32_t>(rows / 2), 0};
    test::poison(on.queue, {4, cols}, dtype);
    const auto got = to_host(on.queue, take_rows(x, on.ints(wanted)).view()), in = to_host(on.queue, x.view());
    for (size_t i = 0; i < wanted.size(); i++)
      for (size_t c = 0; c < static_cast<size_t>(cols); c++)
        ASSERT_EQ(got[i * static_cast<size_t>(cols) + c], in[static_cast<size_t>(wanted[i]) * static_cast<size_t>(cols) + c]);
  }
  const auto wide = on.random({7, 50}, dtype, 6);
  const auto part = wide.columns(13, 32);
  const auto got = to_host(on.queue, take_rows(part, on.ints({6, 2})).view()), in = to_host(on.queue, part.view());
  for (size_t c = 0; c < 19; c++) {
    ASSERT_EQ(got[c], in[6 * 19 + c]);
    ASSERT_EQ(got[19 + c], in[2 * 19 + c]);
  }
  EXPECT_EQ(take_rows(wide, on.ints({})).shape(), (Shape{0, 50}));
}

template <class B>
void slice_heads_takes_columns_of_every_head(Fixture<B>& on, DType dtype) {
  struct Case {
    int64_t tokens, heads, stride, offset, width;
  };
  for (const Case c : {Case{1, 1, 1, 0, 1}, Case{3, 5, 24, 0, 24}, Case{7, 4, 192, 128, 64}, Case{40, 3, 33, 5, 17}, Case{2, 2, 8, 8, 0}}) {
    const auto x = on.template random<Shard>({c.tokens, c.heads * c.stride}, dtype, 7);
    test::poison(on.queue, {c.tokens, c.heads * c.width}, dtype);
    const auto y = slice_heads(x, c.heads, c.offset, c.width);
    ASSERT_EQ(y.shape(), (Shape{c.tokens, c.heads * c.width}));
    const auto got = to_host(on.queue, y.view()), in = to_host(on.queue, x.view());
    for (int64_t t = 0; t < c.tokens; t++)
      for (int64_t h = 0; h < c.heads; h++)
        for (int64_t i = 0; i < c.width; i++)
          ASSERT_EQ(got[static_cast<size_t>((t * c.heads + h) * c.width + i)],
                    in[static_cast<size_t>((t * c.heads + h) * c.stride + c.offset + i)]);
  }
}

template <class B>
void concat_heads_puts_the_slices_back_together(Fixture<B>& on, DType dtype) {
  for (const auto& [tokens, heads, m, n] :
       std::vector<std::tuple<int64_t, int64_t, int64_t, int64_t>>{{1, 1, 1, 1}, {7, 4, 128, 64}, {40, 3, 5, 17}, {2, 2, 8, 0}}) {
    const auto whole = on.template random<Shard>({tokens, heads * (m + n)}, dtype, 8);
    const auto a = slice_heads(whole, heads, 0, m), b = slice_heads(whole, heads, m, n);
    test::poison(on.queue, whole.shape(), dtype);
    const auto y = concat_heads(a, b, heads);
    ASSERT_EQ(y.shape(), whole.shape());
    EXPECT_EQ(to_host(on.queue, y.view()), to_host(on.queue, whole.view()));
  }
}

template <class B>
void parts_of_heads_may_be_columns_of_wider_tensors(Fixture<B>& on, DType dtype) {
  const auto wide = on.random({5, 90}, dtype, 9);
  const auto part = wide.columns(30, 72), same = on.template tensor<Full>({5, 42}, dtype, to_host(on.queue, part.view()));
  EXPECT_EQ(to_host(on.queue, slice_heads(part, 3, 4, 9).view()), to_host(on.queue, slice_heads(same, 3, 4, 9).view()));
  EXPECT_EQ(to_host(on.queue, concat_heads(part, wide.columns(0, 6), 3).view()),
            to_host(on.queue,
                    concat_heads(same, on.template tensor<Full>({5, 6}, dtype, to_host(on.queue, wide.columns(0, 6).view())), 3).view()));
}

class RowsTest : public testing::TestWithParam<std::tuple<Isa, DType>> {
 protected:
  Isa isa = std::get<0>(GetParam());
  DType dtype = std::get<1>(GetParam());
  CpuFixture cpu{isa};
};

TEST_P(RowsTest, EmbedReadsEveryStoredType) { embed_reads_every_stored_type(cpu, dtype); }
TEST_P(RowsTest, TakeRowsCopiesTheBitsOfRows) { take_rows_copies_the_bits_of_rows(cpu, dtype); }
TEST_P(RowsTest, SliceHeadsTakesColumnsOfEveryHead) { slice_heads_takes_columns_of_every_head(cpu, dtype); }
TEST_P(RowsTest, ConcatHeadsPutsTheSlicesBackTogether) { concat_heads_puts_the_slices_back_together(cpu, dtype); }
TEST_P(RowsTest, PartsOfHeadsMayBeColumnsOfWiderTensors) { parts_of_heads_may_be_columns_of_wider_tensors(cpu, dtype); }

INSTANTIATE_TEST_SUITE_P(All, RowsTest,
                         testing::Combine(testing::ValuesIn(test::isa_levels()), testing::Values(DType::F32, DType::F16, DType::BF16)));

TEST(RowsCuda, EmbedReadsEveryStoredType) {
  test::on_cuda_with_types([](auto& on, DType dtype) { embed_reads_every_stored_type(on, dtype); });
}
TEST(RowsCuda, TakeRowsCopiesTheBitsOfRows) {
  test::on_cuda_with_types([](auto& on, DType dtype) { take_rows_copies_the_bits_of_rows(on, dtype); });
}
TEST(RowsCuda, SliceHeadsTakesColumnsOfEveryHead) {
  test::on_cuda_with_types([](auto& on, DType dtype) { slice_heads_takes_columns_of_every_head(on, dtype); });
}
TEST(RowsCuda, ConcatHeadsPutsTheSlicesBackTogether) {
  test::on_cuda_with_types([](auto& on, DType dtype) { concat_heads_puts_the_slices_back_together(on, dtype); });
}
TEST(RowsCuda, PartsOfHeadsMayBeColumnsOfWiderTensors) {
  test::on_cuda_with_types([](auto& on, DType dtype) { parts_of_heads_may_be_columns_of_wider_tensors(on, dtype); });
}

TEST(Rows, ErrorsOfPartsOfHeadsNameTheNumbers) {
  CpuFixture cpu;
  const auto x = cpu.filled({3, 12}, DType::F32, 0), half = cpu.filled({3, 12}, DType::F16, 0),
             short_one = cpu.filled({2, 12}, DType::F32, 0);
  EXPECT_NE(error_of([&] { slice_heads(x, 5, 0, 1); }).find("whole heads: (3, 12) 5"), std::string::npos);
  EXPECT_NE(error_of([&] { slice_heads(x, 0, 0, 1); }).find("whole heads: (3, 12) 0"), std::string::npos);
  for (const auto& [offset, width] : std::vector<std::pair<int64_t, int64_t>>{{-1, 2}, {2, -1}, {3, 2}, {5, 0}})
    EXPECT_NE(error_of([&, o = offset, w = width] { slice_heads(x, 3, o, w); }).find("outside of a head: (3, 12) 3"), std::string::npos);
  EXPECT_NE(error_of([&] { slice_heads(Tensor<Cpu>(cpu.device, {3, 12}, DType::I32), 3, 0, 1); }).find("I32"), std::string::npos);
  EXPECT_NE(error_of([&] { concat_heads(x, half, 3); }).find("F32 F16"), std::string::npos);
  EXPECT_NE(error_of([&] { concat_heads(x, short_one, 3); }).find("(3, 12) (2, 12)"), std::string::npos);
  EXPECT_NE(error_of([&] { concat_heads(x, x, 5); }).find("(3, 12) (3, 12) 5"), std::string::npos);
}

TEST(Rows, ErrorsNameShapesAndTypes) {
  CpuFixture cpu;
  const auto x = cpu.filled({3, 4}, DType::F32, 0), vector = cpu.filled({4}, DType::F32, 0);
  EXPECT_NE(error_of([&] { embed(x, vector); }).find("(3, 4) F32"), std::string::npos);
  EXPECT_NE(error_of([&] { embed(vector, cpu.ints({0})); }).find("(4) I32"), std::string::npos);
  EXPECT_NE(error_of([&] { take_rows(x, vector); }).find("(3, 4) F32"), std::string::npos);
  // A checkpoint may hold anything under the name of its embeddings.
  const auto wrong = error_of([&] { embed(Tensor<Cpu>(cpu.device, {3, 4}, DType::I64), cpu.ints({0})); });
  EXPECT_NE(wrong.find("I64"), std::string::npos) << wrong;
  EXPECT_NE(error_of([&] { rope_table(vector, vector, 1); }).find("F32 F32"), std::string::npos);
  const auto table = cpu.filled({3, 4}, DType::F32, 0);
  EXPECT_NE(error_of([&] { rope(x, table, RopeParams{3, false}); }).find("(3, 4) 3"), std::string::npos);
  EXPECT_NE(error_of([&] { rope(x, cpu.filled({2, 4}, DType::F32, 0), RopeParams{4, false}); }).find("(2, 4) (3, 4)"), std::string::npos);
  EXPECT_NE(error_of([&] { rope(x, table, RopeParams{2, false}); }).find("not wider than a head"), std::string::npos);
}

}  // namespace
}  // namespace infernum
