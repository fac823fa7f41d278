// Weights: names by scope, and parts per rank; experts from every layout that files have.
#include "layers/weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "backends/cpu/transfer.h"
#include "layers/experts.h"
#include "quant/quant.h"

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
  std::optional<Shape> shape(const std::string& name) const override {
    return has(name) ? std::optional(tensors_.at(name).shape) : std::nullopt;
  }
  void replace(const StoredTensor& t) { tensors_[t.name] = t; }
  /// Only described: as a trace sees it.
  void forget_data(const std::string& name) { tensors_.at(name).data = nullptr; }
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

enum class Stored { PerExpert, Stacked, Fused, FusedTransposed, FusedAlternating, FusedTransposedAlternating };

constexpr int64_t experts = 3, width = 4, hidden = 6;

/// gate (width, hidden) has tags 0 .. 2, up 10 .. 12, down (hidden, width) 20 .. 22.
float weight(ExpertMatrix which, int64_t e, int64_t i, int64_t j) { return element(static_cast<int>(which) * 10 + e, i, j); }
/// A bias reads like column 99 of its matrix.
float bias(ExpertMatrix which, int64_t e, int64_t i) { return weight(which, e, i, 99); }

class ExpertLayouts : public testing::TestWithParam<Stored> {
 protected:
  MixtureShape shape() const {
    const bool alternating = GetParam() == Stored::FusedAlternating || GetParam() == Stored::FusedTransposedAlternating;
    return {.hidden_size = hidden, .experts = experts, .width = width, .route = {}, .expert_bias = true, .interleaved = alternating};
  }

  MapSource source() const {
    MapSource s;
    const auto value = [](ExpertMatrix which) {
      return [which](int64_t e, int64_t i, int64_t j) { return j < 0 ? bias(which, e, i) : weight(which, e, i, j); };
    };
    if (GetParam() == Stored::PerExpert || GetParam() == Stored::Stacked) {
      add(s, "gate_proj", width, hidden, value(ExpertMatrix::Gate));
      add(s, "up_proj", width, hidden, value(ExpertMatrix::Up));
    } else {
      add(s, "gate_up_proj", 2 * width, hidden, [&](int64_t e, int64_t i, int64_t j) {
        const bool up = shape().interleaved ? i % 2 == 1 : i >= width;
        return value(up ? ExpertMatrix::Up : ExpertMatrix::Gate)(e, shape().interleaved ? i / 2 : i % width, j);
      });
    }
    add(s, "down_proj", hidden, width, value(ExpertMatrix::Down));
    return s;
  }

  std::vector<StoredTensor> read(MapSource& s, ExpertMatrix which, int rank, int ranks) const {
    return read_experts(s, "mlp.experts", shape(), which, rank, ranks);
  }

 private:
  /// Matrices of value(e, i, j) and biases of value(e, i, -1) in the layout under test.
  template <class F>
  void add(MapSource& s, const std::string& leaf, int64_t n, int64_t k, const F& value) const {
    const bool transposed = GetParam() == Stored::FusedTransposed || GetParam() == Stored::FusedTransposedAlternating;
    std::vector<float> all, biases;
    for (int64_t e = 0; e < experts; e++) {
      std::vector<float> one;
      for (int64_t i = 0; i < (transposed ? k : n); i++)
        for (int64_t j = 0; j < (transposed ? n : k); j++) one.push_back(transposed ? value(e, j, i) : value(e, i, j));
      std::vector<float> b;
      for (int64_t i = 0; i < n; i++) b.push_back(value(e, i, -1));
      all.insert(all.end(), one.begin(), one.end());
      biases.insert(biases.end(), b.begin(), b.end());
      if (GetParam() != Stored::PerExpert) continue;
      s.add("mlp.experts." + std::to_string(e) + "." + leaf + ".weight", {n, k}, one);
      s.add("mlp.experts." + std::to_string(e) + "." + leaf + ".bias", {n}, b);
    }
    if (GetParam() == Stored::PerExpert) return;
    const bool stacked = GetParam() == Stored::Stacked;
    s.add("mlp.experts." + leaf + (stacked ? ".weight" : ""), transposed ? Shape{experts, k, n} : Shape{experts, n, k}, all);
    s.add("mlp.experts." + leaf + (stacked ? ".bias" : "_bias"), {experts, n}, biases);
  }
};

TEST_P(ExpertLayouts, AllGiveTheSameMatrices) {
  auto s = source();
  for (int ranks : {1, 2})
    for (int rank = 0; rank < ranks; rank++)
      for (const auto which : {ExpertMatrix::Gate, ExpertMatrix::Up, ExpertMatrix::Down}) {
        const bool down = which == ExpertMatrix::Down;
        const int64_t part = width / ranks, rows = down ? hidden : part, cols = down ? part : hidden;
        const auto list = read(s, which, rank, ranks);
        ASSERT_EQ(list.size(), static_cast<size_t>(experts));
        for (int64_t e = 0; e < experts; e++) {
          ASSERT_EQ(list[static_cast<size_t>(e)].shape, (Shape{rows, cols}));
          const auto values = floats(list[static_cast<size_t>(e)]);
          for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < cols; j++)
              ASSERT_EQ(values[static_cast<size_t>(i * cols + j)],
                        weight(which, e, down ? i : rank * part + i, down ? rank * part + j : j));
        }
        const auto biases = read_expert_biases(s, "mlp.experts", shape(), which, rank, ranks);
        ASSERT_EQ(biases.shape, (Shape{experts, rows}));
        for (int64_t e = 0; e < experts; e++)
          for (int64_t i = 0; i < rows; i++)
            ASSERT_EQ(floats(biases)[static_cast<size_t>(e * rows + i)], bias(which, e, down ? i : rank * part + i));
      }
}

TEST_P(ExpertLayouts, GateAndUpHaveNamesOfTheirOwn) {
  auto s = source();
  for (int64_t e = 0; e < experts; e++) {
    const auto i = static_cast<size_t>(e);
    EXPECT_NE(read(s, ExpertMatrix::Gate, 0, 1)[i].name, read(s, ExpertMatrix::Up, 0, 1)[i].name);
  }
  const auto up = read(s, ExpertMatrix::Up, 0, 1)[0].name;
  const bool fused = GetParam() != Stored::PerExpert && GetParam() != Stored::Stacked;
  const std::string rows =
      shape().interleaved ? "1:" + std::to_string(2 * width) + ":2" : std::to_string(width) + ":" + std::to_string(2 * width);
  if (fused) {
    EXPECT_EQ(up, "mlp.experts.gate_up_proj[" + rows + "]");
  }
}

/// Gate and up keep their rows in place on any number of ranks; down only whole, since columns of it are no run of rows.
TEST_P(ExpertLayouts, RunsOfWholeRowsAreNotCopied) {
  auto s = source();
  const bool transposed = GetParam() == Stored::FusedTransposed || GetParam() == Stored::FusedTransposedAlternating;
  const bool fused = GetParam() != Stored::PerExpert && GetParam() != Stored::Stacked;
  for (int ranks : {1, 2})
    for (int rank = 0; rank < ranks; rank++)
      for (const auto which : {ExpertMatrix::Gate, ExpertMatrix::Up, ExpertMatrix::Down}) {
        const bool down = which == ExpertMatrix::Down;
        const bool in_place = down ? !transposed && ranks == 1 : !transposed && !shape().interleaved;
        const std::string leaf = down ? "down_proj" : fused ? "gate_up_proj" : which == ExpertMatrix::Gate ? "gate_proj" : "up_proj";
        const auto list = read(s, which, rank, ranks);
        for (int64_t e = 0; e < experts; e++) {
          const std::string name =
              "mlp.experts." + (GetParam() == Stored::PerExpert ? std::to_string(e) + "." : "") + leaf + (fused ? "" : ".weight");
          const StoredTensor whole = s.read(name, *s.shape(name));
          const int64_t part = width / ranks, stacked = GetParam() == Stored::PerExpert ? 0 : e * whole.bytes / experts;
          const int64_t row = (down ? 0 : rank * part) + (fused && which == ExpertMatrix::Up ? width : 0);
          const std::byte* stored_at = whole.data + stacked + row * (down ? width : hidden) * 4;
          EXPECT_EQ(list[static_cast<size_t>(e)].data == stored_at, in_place) << name << " rank " << rank << " of " << ranks;
        }
      }
}

INSTANTIATE_TEST_SUITE_P(All, ExpertLayouts,
                         testing::Values(Stored::PerExpert, Stored::Stacked, Stored::Fused, Stored::FusedTransposed,
                                         Stored::FusedAlternating, Stored::FusedTransposedAlternating));

class TwoExperts : public testing::Test {
 protected:
  TwoExperts() {
    s.add("e.0.up_proj.weight", {2, 2}, matrix(0, 2, 2));
    s.add("e.1.up_proj.weight", {2, 2}, matrix(1, 2, 2));
  }
  std::vector<StoredTensor> read() {
    return read_experts(s, "e", {.hidden_size = 2, .experts = 2, .width = 2, .route = {}}, ExpertMatrix::Up, 0, 1);
  }
  MapSource s;
};

TEST_F(TwoExperts, OfOneLayerHaveOneType) {
  auto b = stored("e.1.up_proj.weight", {2, 2}, matrix(1, 2, 2));
  b.dtype = DType::BF16;
  b.bytes = 8;
  s.replace(b);
  const auto text = error_of([&] { read(); });
  EXPECT_NE(text.find("e.1.up_proj.weight BF16 F32"), std::string::npos) << text;
}

TEST_F(TwoExperts, OfWhichOneIsMissingHaveADescriptionOfIt) {
  for (const char* name : {"e.0.up_proj.weight", "e.1.up_proj.weight"}) {
    auto copy = s.read(name, {2, 2});
    s.forget_data(name);
    for (const StoredTensor& t : read()) {
      EXPECT_EQ(t.data == nullptr, t.name == name);
      EXPECT_EQ(t.shape, (Shape{2, 2}));
      EXPECT_EQ(t.bytes, 16);
    }
    s.replace(copy);
  }
}

TEST_F(TwoExperts, AMissingOneIsNamed) {
  const auto text =
      error_of([&] { read_experts(s, "e", {.hidden_size = 2, .experts = 3, .width = 2, .route = {}}, ExpertMatrix::Up, 0, 1); });
  EXPECT_NE(text.find("e.2.up_proj.weight (2, 2)"), std::string::npos) << text;
}

TEST(Experts, ReadsMxfp4AsPublished) {
  // Rows of 32 elements; element i of row r of expert e has code (e + r + i) % 16, and the row's scale is 2^r.
  constexpr int64_t e2 = 2, rows = 4, k = 32;
  const auto code = [](int64_t e, int64_t r, int64_t i) { return (e + r + i) % 16; };
  auto numbers = std::make_shared<std::vector<uint8_t>>(), scales = std::make_shared<std::vector<uint8_t>>();
  for (int64_t e = 0; e < e2; e++)
    for (int64_t r = 0; r < rows; r++) {
      for (int64_t j = 0; j < k / 2; j++) numbers->push_back(static_cast<uint8_t>(code(e, r, 2 * j) | code(e, r, 2 * j + 1) << 4));
      scales->push_back(static_cast<uint8_t>(127 + r));
    }
  const auto bytes = [](const std::string& name, const Shape& shape, const auto& v) {
    return StoredTensor{name, DType::U8, shape, reinterpret_cast<const std::byte*>(v->data()), static_cast<int64_t>(v->size()), v, nullptr};
  };
  MapSource s;
  s.replace(bytes("e.gate_up_proj_blocks", {e2, rows, 1, 16}, numbers));
  s.replace(bytes("e.gate_up_proj_scales", {e2, rows, 1}, scales));
  constexpr float magnitudes[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  for (const auto which : {ExpertMatrix::Gate, ExpertMatrix::Up}) {
    const auto list =
        read_experts(s, "e", {.hidden_size = k, .experts = e2, .width = rows / 2, .route = {}, .interleaved = true}, which, 0, 1);
    ASSERT_EQ(list.size(), static_cast<size_t>(e2));
    for (int64_t e = 0; e < e2; e++) {
      const StoredTensor& t = list[static_cast<size_t>(e)];
      ASSERT_EQ(t.dtype, DType::MXFP4);
      ASSERT_EQ(t.shape, (Shape{rows / 2, k}));
      std::vector<float> values(static_cast<size_t>(t.shape.elements()));
      dequantize(t.dtype, t.data, values.data(), t.shape.elements());
      for (int64_t r = 0; r < rows / 2; r++)
        for (int64_t i = 0; i < k; i++) {
          const int64_t row = 2 * r + (which == ExpertMatrix::Up), c = code(e, row, i);
          const float want = std::ldexp(magnitudes[c % 8] * (c < 8 ? 1.f : -1.f), static_cast<int>(row));
          ASSERT_EQ(values[static_cast<size_t>(r * k + i)], want) << e << " " << row << " " << i;
        }
    }
  }
}

TEST_F(TwoExperts, BlocksCannotBeTransposed) {
  auto gate_up = stored("e.gate_up_proj", {2, 32, 64}, std::vector<float>(2 * 32 * 64));
  auto down = stored("e.down_proj", {2, 32, 32}, std::vector<float>(2 * 32 * 32));
  gate_up.dtype = down.dtype = DType::Q8_0;
  gate_up.bytes = 2 * 32 * 64 / 32 * 34;
  down.bytes = 2 * 32 * 32 / 32 * 34;
  s.replace(gate_up);
  s.replace(down);
  const auto text =
      error_of([&] { read_experts(s, "e", {.hidden_size = 32, .experts = 2, .width = 32, .route = {}}, ExpertMatrix::Up, 0, 1); });
  EXPECT_NE(text.find("e.gate_up_proj Q8_0"), std::string::npos) << text;
}

}  // namespace
}  // namespace infernum
