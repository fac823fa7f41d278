// Weights: names by scope, and parts per rank; experts from each of the three layouts that files have.
#include "layers/weights.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "backends/cpu/transfer.h"
#include "layers/experts.h"

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

StoredTensor stored(const std::string& name, const Shape& shape, const std::vector<float>& values) {
  auto copy = std::make_shared<std::vector<float>>(values);
  return {name, DType::F32, shape, reinterpret_cast<const std::byte*>(copy->data()), static_cast<int64_t>(copy->size() * 4), copy, nullptr};
}

std::vector<float> floats(const StoredTensor& t) {
  std::vector<float> v(static_cast<size_t>(t.bytes / 4));
  std::memcpy(v.data(), t.data, static_cast<size_t>(t.bytes));
  return v;
}

/// Value of element (i, j) of matrix `tag`.
float element(int64_t tag, int64_t i, int64_t j) { return static_cast<float>(tag * 10000 + i * 100 + j); }

std::vector<float> matrix(int64_t tag, int64_t n, int64_t k) {
  std::vector<float> v;
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < k; j++) v.push_back(element(tag, i, j));
  return v;
}

/// Tensors by name; read() demands the shape.
class MapSource : public WeightSource {
 public:
  void add(const std::string& name, const Shape& shape, const std::vector<float>& values) { tensors_[name] = stored(name, shape, values); }
  bool has(const std::string& name) const override { return tensors_.count(name) > 0; }
  StoredTensor read(const std::string& name, const Shape& shape) override {
    const auto it = tensors_.find(name);
    check(it != tensors_.end() && it->second.shape == shape, "test: no such tensor", name, shape);
    return it->second;
  }

 private:
  std::map<std::string, StoredTensor> tensors_;
};

TEST(Split, DividesRowsAndColumnsAmongRanks) {
  const auto t = stored("w", {4, 6}, matrix(0, 4, 6));
  EXPECT_EQ(split(t, Split::None, 1, 2).data, t.data);
  EXPECT_EQ(split(t, Split::Rows, 0, 1).data, t.data);
  EXPECT_EQ(floats(split(t, Split::Rows, 1, 2)), (std::vector<float>{200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 304, 305}));
  EXPECT_EQ(floats(split(t, Split::Cols, 1, 3)), (std::vector<float>{2, 3, 102, 103, 202, 203, 302, 303}));
}

TEST(Split, RefusesWhatDoesNotDivide) {
  const auto t = stored("model.layers.3.w", {4, 6}, matrix(0, 4, 6));
  const auto rows = error_of([&] { split(t, Split::Rows, 0, 3); });
  EXPECT_NE(rows.find("model.layers.3.w (4, 6) ranks 3 block 1"), std::string::npos) << rows;
  EXPECT_NE(error_of([&] { split(t, Split::Cols, 0, 4); }).find("ranks 4"), std::string::npos);
  StoredTensor blocks{"q", DType::Q4_K, {4, 512}, nullptr, 4 * 2 * 144, nullptr, nullptr};
  EXPECT_EQ(split(blocks, Split::Cols, 1, 2).shape, (Shape{4, 256}));
  EXPECT_EQ(split(blocks, Split::Rows, 3, 4).shape, (Shape{1, 512}));
  const auto text = error_of([&] { split(blocks, Split::Cols, 0, 4); });
  EXPECT_NE(text.find("q (4, 512) ranks 4 block 256"), std::string::npos) << text;
}

TEST(Weights, NamesFollowTheScope) {
  MapSource source;
  source.add("model.layers.2.mlp.weight", {2, 3}, matrix(0, 2, 3));
  source.add("top", {2}, {5, 6});
  Queue<Cpu> queue(1, Isa::Portable);
  Device<Cpu> device;
  device.queue = &queue;
  const Weights<Cpu> w(device, source);
  const auto scope = w / "model" / "layers" / 2 / "mlp";
  EXPECT_EQ(scope.path(), "model.layers.2.mlp");
  EXPECT_TRUE(scope.has("weight"));
  EXPECT_FALSE(scope.has("bias"));
  EXPECT_TRUE(w.has("top"));
  EXPECT_EQ(to_host(queue, scope.tensor("weight", {2, 3}).view()), matrix(0, 2, 3));
  EXPECT_EQ(to_host(queue, w.vector("top", 2).view()), (std::vector<float>{5, 6}));
  EXPECT_NE(error_of([&] { scope.vector("bias", 2); }).find("model.layers.2.mlp.bias (2)"), std::string::npos);
  EXPECT_EQ(w.path(), "") << "a scope does not change the one it came from";
}

TEST(Weights, VectorsArePartedForRanks) {
  MapSource source;
  source.add("bias", {4}, {1, 2, 3, 4});
  Queue<Cpu> queue(1, Isa::Portable);
  Device<Cpu> device;
  device.queue = &queue;
  device.rank = 1;
  device.ranks = 2;
  const Weights<Cpu> w(device, source);
  EXPECT_EQ(to_host(queue, w.vector_part("bias", 4).view()), (std::vector<float>{3, 4}));
  EXPECT_EQ(to_host(queue, w.vector("bias", 4).view()), (std::vector<float>{1, 2, 3, 4}));
}

class ExpertLayouts : public testing::TestWithParam<int> {
 protected:
  static constexpr int64_t experts = 3, n = 4, k = 6;

  /// gate has tags 0 .. 2, up 10 .. 12, down (k, n) 20 .. 22; in each layout.
  MapSource source() const {
    MapSource s;
    std::vector<float> gate, up, down, fused;
    for (int64_t e = 0; e < experts; e++) {
      const auto g = matrix(e, n, k), u = matrix(10 + e, n, k), d = matrix(20 + e, k, n);
      gate.insert(gate.end(), g.begin(), g.end());
      up.insert(up.end(), u.begin(), u.end());
      down.insert(down.end(), d.begin(), d.end());
      fused.insert(fused.end(), g.begin(), g.end());
      fused.insert(fused.end(), u.begin(), u.end());
      if (GetParam() != 0) continue;
      s.add(std::to_string(e) + ".gate_proj.weight", {n, k}, g);
      s.add(std::to_string(e) + ".up_proj.weight", {n, k}, u);
      s.add(std::to_string(e) + ".down_proj.weight", {k, n}, d);
    }
    if (GetParam() == 1) {
      s.add("gate_proj.weight", {experts, n, k}, gate);
      s.add("up_proj.weight", {experts, n, k}, up);
      s.add("down_proj.weight", {experts, k, n}, down);
    } else if (GetParam() == 2) {
      s.add("gate_up_proj", {experts, 2 * n, k}, fused);
      s.add("down_proj", {experts, k, n}, down);
    }
    return s;
  }
  StoredTensor read(MapSource& s, const char* leaf, int part, int64_t rows, int64_t cols, Split how, int rank, int ranks) const {
    return read_experts([&](const std::string& name) { return s.has(name); },
                        [&](const std::string& name, const Shape& shape) { return s.read(name, shape); }, leaf, part, experts, rows, cols,
                        how, rank, ranks);
  }
};

TEST_P(ExpertLayouts, AllGiveTheSameStack) {
  auto s = source();
  for (int ranks : {1, 2})
    for (int rank = 0; rank < ranks; rank++) {
      const int64_t part = n / ranks;
      for (const auto& [leaf, fused_part, tag] : {std::tuple{"gate_proj", 0, 0}, std::tuple{"up_proj", 1, 10}}) {
        const auto t = read(s, leaf, fused_part, n, k, Split::Rows, rank, ranks);
        ASSERT_EQ(t.shape, (Shape{experts, part, k})) << leaf;
        const auto values = floats(t);
        for (int64_t e = 0; e < experts; e++)
          for (int64_t i = 0; i < part; i++)
            for (int64_t j = 0; j < k; j++)
              ASSERT_EQ(values[static_cast<size_t>((e * part + i) * k + j)], element(tag + e, rank * part + i, j)) << leaf;
      }
      const auto t = read(s, "down_proj", -1, k, n, Split::Cols, rank, ranks);
      ASSERT_EQ(t.shape, (Shape{experts, k, part}));
      const auto values = floats(t);
      for (int64_t e = 0; e < experts; e++)
        for (int64_t i = 0; i < k; i++)
          for (int64_t j = 0; j < part; j++)
            ASSERT_EQ(values[static_cast<size_t>((e * k + i) * part + j)], element(20 + e, i, rank * part + j));
    }
}

INSTANTIATE_TEST_SUITE_P(All, ExpertLayouts, testing::Values(0, 1, 2), [](const auto& p) {
  return std::string(p.param == 0 ? "per_expert" : p.param == 1 ? "stacked" : "fused");
});

StoredTensor read_two(const StoredTensor& first, const StoredTensor& second) {
  return read_experts([](const std::string&) { return false; },
                      [&](const std::string& name, const Shape&) { return name[0] == '0' ? first : second; }, "up_proj", 1, 2, 2, 2,
                      Split::Rows, 0, 1);
}

TEST(Experts, OfOneLayerHaveOneType) {
  const auto a = stored("0.up_proj.weight", {2, 2}, matrix(0, 2, 2));
  auto b = stored("1.up_proj.weight", {2, 2}, matrix(1, 2, 2));
  b.dtype = DType::BF16;
  b.bytes = 8;
  const auto text = error_of([&] { read_two(a, b); });
  EXPECT_NE(text.find("1.up_proj.weight BF16 F32"), std::string::npos) << text;
}

TEST(Experts, OfWhichOneIsMissingAreOnlyDescribed) {
  const auto a = stored("0.up_proj.weight", {2, 2}, matrix(0, 2, 2));
  auto described = stored("1.up_proj.weight", {2, 2}, matrix(1, 2, 2));
  described.data = nullptr;
  for (const auto& t : {read_two(a, described), read_two(described, a)}) {
    EXPECT_EQ(t.data, nullptr);
    EXPECT_EQ(t.shape, (Shape{2, 2, 2}));
    EXPECT_EQ(t.bytes, 32);
  }
}

TEST(Experts, AMissingOneIsNamedInEachLayout) {
  MapSource s;
  s.add("0.gate_proj.weight", {2, 2}, matrix(0, 2, 2));
  const auto text = error_of([&] {
    read_experts([&](const std::string& name) { return s.has(name); },
                 [&](const std::string& name, const Shape& shape) { return s.read(name, shape); }, "gate_proj", 0, 2, 2, 2, Split::Rows, 0,
                 1);
  });
  EXPECT_NE(text.find("1.gate_proj.weight (2, 2)"), std::string::npos) << text;
}

}  // namespace
}  // namespace infernum
