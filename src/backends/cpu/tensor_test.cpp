// Tensor on the CPU: views of parts share storage, count their bytes right for every type, and refuse what is outside.
#include "core/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "backends/cpu/transfer.h"

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

struct TensorTest : testing::Test {
  Queue<Cpu> queue{1, Isa::Portable};
  Device<Cpu> device;
  TensorTest() { device.queue = &queue; }

  Tensor<Cpu> counting(const Shape& shape, DType dtype = DType::F32) {
    std::vector<float> values(static_cast<size_t>(shape.elements()));
    std::iota(values.begin(), values.end(), 0.f);
    return from_host(device, shape, dtype, values);
  }
  std::vector<float> values(const Tensor<Cpu>& t) { return to_host(queue, t.view()); }
};

TEST_F(TensorTest, ReshapeKeepsTheElements) {
  const auto t = counting({4, 6});
  const auto r = t.reshape({2, 2, 3, 2});
  EXPECT_EQ(r.shape(), (Shape{2, 2, 3, 2}));
  EXPECT_EQ(r.view().data, t.view().data);
  EXPECT_EQ(r.view().rows(), 12);
  EXPECT_EQ(r.view().cols(), 2);
  EXPECT_EQ(values(r), values(t));
  EXPECT_EQ(values(t.reshape({24})), values(t));
  EXPECT_NE(error_of([&] { t.reshape({5, 5}); }).find("(4, 6) (5, 5)"), std::string::npos);
}

TEST_F(TensorTest, RowsAndColumnsShareTheStorage) {
  const auto t = counting({5, 7});
  EXPECT_EQ(values(t.rows(2, 4)), (std::vector<float>{14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27}));
  EXPECT_EQ(values(t.columns(5, 7)), (std::vector<float>{5, 6, 12, 13, 19, 20, 26, 27, 33, 34}));
  EXPECT_EQ(values(t.columns(1, 6).rows(1, 3).columns(2, 4)), (std::vector<float>{10, 11, 17, 18}));
  EXPECT_TRUE(values(t.rows(5, 5)).empty());
  EXPECT_TRUE(values(t.columns(7, 7)).empty());
  t.columns(3, 4).view().row<float>(2)[0] = -1;
  EXPECT_EQ(values(t)[2 * 7 + 3], -1) << "a part is the same memory";
}

TEST_F(TensorTest, PartsKeepTheStorageAlive) {
  auto whole = std::make_unique<Tensor<Cpu>>(counting({8, 8}));
  const std::weak_ptr<void> storage = whole->storage();
  const auto part = whole->rows(3, 5).columns(2, 4);
  whole.reset();
  EXPECT_FALSE(storage.expired());
  EXPECT_EQ(values(part), (std::vector<float>{26, 27, 34, 35}));
}

TEST_F(TensorTest, ReshapeOfAStridedTensorKeepsItsRows) {
  const auto part = counting({4, 6}).columns(2, 5);
  const auto r = part.reshape({2, 2, 3});
  EXPECT_EQ(values(r), values(part));
  const auto message = error_of([&] { part.reshape({12}); });
  EXPECT_NE(message.find("rows are not contiguous"), std::string::npos) << message;
  EXPECT_NE(error_of([&] { part.reshape({4, 1, 1, 3}).reshape({2, 6}); }).find("not contiguous"), std::string::npos);
}

TEST_F(TensorTest, BlockTypesAreCutBetweenBlocks) {
  const Tensor<Cpu> t(device, {3, 512}, DType::Q4_K);
  EXPECT_EQ(t.view().bytes(), 3 * 2 * 144);
  const char* base = t.view().as<char>();
  EXPECT_EQ(t.view().row_bytes(2), base + 2 * 288);
  const auto part = t.columns(256, 512);
  EXPECT_EQ(part.view().as<char>(), base + 144);
  EXPECT_EQ(part.view().row_bytes(1), base + 288 + 144);
  EXPECT_EQ(t.rows(1, 3).view().as<char>(), base + 288);
  for (auto [begin, end] : {std::pair<int64_t, int64_t>{128, 512}, {0, 128}, {256, 300}}) {
    const auto message = error_of([&, b = begin, e = end] { t.columns(b, e); });
    EXPECT_NE(message.find("cuts through a block: Q4_K"), std::string::npos) << message;
  }
}

TEST_F(TensorTest, ErrorsNameTheShapeAndTheRange) {
  const auto t = counting({4, 6});
  for (auto [begin, end] : {std::pair<int64_t, int64_t>{-1, 2}, {3, 2}, {0, 7}}) {
    const auto rows = error_of([&, b = begin, e = end] { t.rows(b, e); }), columns = error_of([&, b = begin, e = end] { t.columns(b, e); });
    const std::string range = "(4, 6) " + std::to_string(begin) + " " + std::to_string(end);
    EXPECT_NE(rows.find("rows: outside of the tensor: " + range), std::string::npos) << rows;
    EXPECT_NE(columns.find("columns: outside of the tensor: " + range), std::string::npos) << columns;
  }
  const auto cube = counting({2, 2, 2});
  EXPECT_NE(error_of([&] { cube.rows(0, 1); }).find("(2, 2, 2)"), std::string::npos);
  EXPECT_NE(error_of([&] { counting({3}).columns(0, 1); }).find("(3)"), std::string::npos);
}

TEST_F(TensorTest, RelabelKeepsTheMemory) {
  const auto t = counting({2, 3});
  const void* data = t.view().data;
  const auto shard = relabel<Shard>(t);
  static_assert(std::same_as<decltype(shard), const Tensor<Cpu, Shard>>);
  EXPECT_EQ(shard.view().data, data);
  EXPECT_EQ(shard.shape(), t.shape());
}

TEST_F(TensorTest, ObserveTellsWhoListens) {
  const auto t = counting({1, 2});
  observe("nobody", t);
  std::vector<std::string> names;
  device.observer = [&](std::string_view name, const View<Cpu>& v) { names.push_back(std::string(name) + std::to_string(v.elements())); };
  observe("somebody", t);
  EXPECT_EQ(names, (std::vector<std::string>{"somebody2"}));
}

TEST_F(TensorTest, TransferRoundsAndChecks) {
  EXPECT_EQ(values(from_host(device, {3}, DType::F16, {1.0001f, -65504, 1e-9f})), (std::vector<float>{1, -65504, 0}));
  EXPECT_EQ(values(from_host(device, {2}, DType::BF16, {1.001f, -3}))[1], -3);
  EXPECT_EQ(values(from_host(device, {2}, std::vector<int32_t>{7, -2})), (std::vector<float>{7, -2}));
  EXPECT_NE(error_of([&] { from_host(device, {2, 2}, DType::F32, {1, 2, 3}); }).find("(2, 2) 3"), std::string::npos);
  EXPECT_NE(error_of([&] { from_host(device, {2}, std::vector<int32_t>{1}); }).find("(2) 1"), std::string::npos);
  EXPECT_NE(error_of([&] { from_host(device, {1}, DType::Q4_0, {1}); }).find("Q4_0"), std::string::npos);
  EXPECT_NE(error_of([&] { to_host(queue, Tensor<Cpu>(device, {1}, DType::I64).view()); }).find("I64"), std::string::npos);
}

}  // namespace
}  // namespace infernum
