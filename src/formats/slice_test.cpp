// Slices of stored matrices: which bytes each holds, for plain types and blocks; and weights placed on the CPU at any address.
#include "formats/slice.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <numeric>

#include "backends/cpu/transfer.h"
#include "formats/linear_weight.h"

namespace infernum {
namespace {

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

/// A tensor whose bytes count up, in memory of its own.
StoredTensor stored(const Shape& shape, DType dtype, const std::string& name = "layer.weight") {
  auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(bytes_of(dtype, shape.elements())));
  for (size_t i = 0; i < bytes->size(); i++) (*bytes)[i] = static_cast<std::byte>(i % 251);
  return {name, dtype, shape, bytes->data(), static_cast<int64_t>(bytes->size()), bytes, nullptr};
}

std::vector<std::byte> bytes(const StoredTensor& t) { return {t.data, t.data + t.bytes}; }

TEST(Slice, RowsShareTheStorage) {
  for (DType dtype : {DType::F32, DType::BF16, DType::Q4_0, DType::F4}) {
    const StoredTensor t = stored({6, 64}, dtype);
    const StoredTensor s = slice_rows(t, 2, 5);
    const int64_t row = bytes_of(dtype, 64);
    EXPECT_EQ(s.shape, (Shape{3, 64}));
    EXPECT_EQ(s.data, t.data + 2 * row);
    EXPECT_EQ(s.bytes, 3 * row);
    EXPECT_EQ(s.owner, t.owner);
    EXPECT_EQ(s.name, t.name);
  }
  const StoredTensor vector = slice_rows(stored({8}, DType::F32), 4, 8);
  EXPECT_EQ(vector.shape, (Shape{4}));
  EXPECT_EQ(vector.bytes, 16);
  EXPECT_EQ(slice_rows(stored({4, 8}, DType::F16), 4, 4).bytes, 0);
  EXPECT_EQ(slice_rows(stored({0, 8}, DType::F16), 0, 0).bytes, 0);
}

TEST(Slice, ColumnsAreCopiedRowByRow) {
  for (const auto& [dtype, begin, end] : std::vector<std::tuple<DType, int64_t, int64_t>>{
           {DType::F32, 5, 9}, {DType::BF16, 0, 64}, {DType::Q8_0, 32, 64}, {DType::Q4_0, 0, 32}}) {
    const StoredTensor t = stored({5, 64}, dtype);
    const StoredTensor s = slice_columns(t, begin, end);
    std::vector<std::byte> want;
    for (int64_t r = 0; r < 5; r++) {
      const std::byte* row = t.data + r * bytes_of(dtype, 64);
      want.insert(want.end(), row + bytes_of(dtype, begin), row + bytes_of(dtype, end));
    }
    EXPECT_EQ(s.shape, (Shape{5, end - begin}));
    EXPECT_EQ(bytes(s), want) << describe(dtype);
    EXPECT_NE(s.owner, t.owner) << "a copy, on which the file's memory does not depend";
    EXPECT_EQ(s.file, nullptr);
  }
}

TEST(Slice, PartsOfAllRanksAreTheWhole) {
  const StoredTensor t = stored({8, 96}, DType::Q8_0);
  std::vector<std::byte> rows;
  for (int r = 0; r < 4; r++) {
    const auto part = bytes(slice_rows(t, r * 2, r * 2 + 2));
    rows.insert(rows.end(), part.begin(), part.end());
  }
  EXPECT_EQ(rows, bytes(t));
}

TEST(Slice, AStackIsTakenApart) {
  const StoredTensor t = stored({3, 4, 32}, DType::Q4_0);
  for (int64_t e = 0; e < 3; e++) {
    const StoredTensor s = slice_stack(t, e);
    EXPECT_EQ(s.shape, (Shape{4, 32}));
    EXPECT_EQ(s.bytes, 4 * 18);
    EXPECT_EQ(s.data, t.data + e * 4 * 18);
  }
}

TEST(Slice, HeadersAreSlicedWithoutData) {
  StoredTensor t = stored({4, 64}, DType::F32);
  t.data = nullptr;
  EXPECT_EQ(slice_rows(t, 1, 3).data, nullptr);
  EXPECT_EQ(slice_columns(t, 0, 8).data, nullptr);
  EXPECT_EQ(slice_columns(t, 0, 8).bytes, 4 * 8 * 4);
  StoredTensor stack = stored({2, 4, 8}, DType::F32);
  stack.data = nullptr;
  EXPECT_EQ(slice_stack(stack, 1).data, nullptr);
}

TEST(Slice, ErrorsNameTheTensor) {
  const StoredTensor t = stored({4, 64}, DType::Q4_0, "model.layers.0.mlp.up_proj.weight");
  for (auto [begin, end] : {std::pair<int64_t, int64_t>{-1, 2}, {3, 2}, {0, 65}}) {
    for (const auto& text :
         {error_of([&, b = begin, e = end] { slice_rows(t, b, e); }), error_of([&, b = begin, e = end] { slice_columns(t, b, e); })}) {
      EXPECT_NE(text.find("model.layers.0.mlp.up_proj.weight (4, 64) " + std::to_string(begin) + " " + std::to_string(end)),
                std::string::npos)
          << text;
    }
  }
  for (auto [begin, end] : {std::pair<int64_t, int64_t>{16, 64}, {0, 48}}) {
    const auto text = error_of([&, b = begin, e = end] { slice_columns(t, b, e); });
    EXPECT_NE(text.find("cuts through a block: model.layers.0.mlp.up_proj.weight Q4_0"), std::string::npos) << text;
    EXPECT_NE(text.find("block 32"), std::string::npos) << text;
  }
  EXPECT_NE(error_of([&] { slice_columns(stored({4}, DType::F32), 0, 1); }).find("(4)"), std::string::npos);
  EXPECT_NE(error_of([&] { slice_stack(t, 0); }).find("(4, 64)"), std::string::npos);
  for (int64_t e : {-1, 2})
    EXPECT_NE(error_of([&] { slice_stack(stored({2, 3, 4}, DType::F32), e); }).find("(2, 3, 4) " + std::to_string(e)), std::string::npos);
}

struct PlaceTest : testing::Test {
  Queue<Cpu> queue{1};
  Device<Cpu> device;
  PlaceTest() { device.queue = &queue; }
};

TEST_F(PlaceTest, SharesAlignedMemoryAndKeepsItAlive) {
  auto t = stored({2, 4}, DType::F32);
  const std::weak_ptr<const void> owner = t.owner;
  const std::byte* data = t.data;
  const auto placed = place(device, t);
  t = {};
  EXPECT_FALSE(owner.expired());
  EXPECT_EQ(placed.view().data, static_cast<const void*>(data));
}

TEST_F(PlaceTest, CopiesNumbersAtOddAddresses) {
  for (DType dtype : {DType::F32, DType::F16, DType::BF16}) {
    auto memory = std::make_shared<std::vector<std::byte>>(200);
    const std::vector<float> values{1, -2, 0.5f, 65504, 0, 3};
    const Shape shape{2, 3};
    std::byte* odd = memory->data() + 1;
    const auto source = from_host(device, shape, dtype, values);
    std::memcpy(odd, source.view().data, static_cast<size_t>(source.view().bytes()));
    const StoredTensor t{"odd", dtype, shape, odd, source.view().bytes(), memory, nullptr};
    const auto placed = place(device, t);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(placed.view().data) % static_cast<size_t>(info(dtype).bytes), 0u) << describe(dtype);
    EXPECT_EQ(to_host(queue, placed.view()), to_host(queue, source.view()));
    EXPECT_EQ(to_host(queue, place_f32(device, t).view()), to_host(queue, source.view()));
  }
}

TEST_F(PlaceTest, RefusesWhatItCannotRead) {
  auto header = stored({2, 4}, DType::F32, "only.header");
  header.data = nullptr;
  for (const auto& text : {error_of([&] { place(device, header); }), error_of([&] { place_f32(device, header); })})
    EXPECT_NE(text.find("only the header of this tensor was read: only.header"), std::string::npos) << text;
  const auto text = error_of([&] { place_f32(device, stored({4}, DType::I64, "norm.weight")); });
  EXPECT_NE(text.find("norm.weight I64"), std::string::npos) << text;
  const auto matrix = error_of([&] { load_weight<Cpu>(device, stored({4, 4}, DType::F8E4M3, "up.weight")); });
  EXPECT_NE(matrix.find("no format for matrices of this dtype: up.weight F8_E4M3"), std::string::npos) << matrix;
}

TEST_F(PlaceTest, TracedWeightsHaveTheirNameAndType) {
  Queue<Trace> traced;
  Device<Trace> trace;
  trace.queue = &traced;
  auto header = stored({2, 256}, DType::Q4_K, "w");
  header.data = nullptr;
  place(trace, header);
  place_blocks(trace, header);
  place_f32(trace, header);
  ASSERT_EQ(traced.graph.values.size(), 3u);
  for (const TraceValue& v : traced.graph.values) {
    EXPECT_EQ(v.name, "w");
    EXPECT_EQ(v.kind, TraceValue::Kind::Weight);
  }
  EXPECT_EQ(traced.graph.values[0].bytes(), 288);
  EXPECT_EQ(traced.graph.values[2].dtype, DType::F32);
  EXPECT_EQ(traced.graph.peak_activation_bytes, 0) << "a weight is no activation";
}

}  // namespace
}  // namespace infernum
