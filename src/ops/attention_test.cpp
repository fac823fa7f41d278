// Attention and rope against plain double-precision references, on every instruction set.
#include "ops/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/half.h"
#include "ops/cuda_test_support.h"
#include "ops/rope.h"

namespace infernum {
namespace {

using test::CpuFixture;
using test::random_values;

struct Case {
  int64_t heads, kv_heads, head_dim;
  int window;
  float softcap;
  bool sinks;
  DType cache;
  int chunk = 0;
  DType activations = DType::F32;
};

/// Sequences of a ragged batch: (cached before, new tokens).
using Lengths = std::vector<std::pair<int, int>>;
const Lengths mixed{{0, 1}, {0, 37}, {70, 1}, {15, 2}, {100, 33}, {700, 1}};

float rounded(float x, DType to) {
  return to == DType::F32 ? x : to == DType::F16 ? static_cast<float>(F16(x)) : static_cast<float>(BF16(x));
}
std::vector<float> rounded_values(int64_t n, int seed, DType to) {
  auto v = random_values(n, seed);
  for (float& x : v) x = rounded(x, to);
  return v;
}

/// Two steps over made-up sequences, the second of which is compared with the definition.
template <class B>
class AttentionCheck {
 public:
  AttentionCheck(test::Fixture<B>& on, const Case& c, Lengths lengths) : on_(on), c_(c), lengths_(std::move(lengths)) {
    int64_t blocks = 3;
    for (auto [before, n] : lengths_) width_ = std::max<int64_t>(width_, (before + n + block_tokens - 1) / block_tokens);
    for (size_t i = 0; i < lengths_.size() * static_cast<size_t>(width_); i++) table_.push_back(static_cast<int32_t>(blocks++));
    std::reverse(table_.begin(), table_.end());
    keys_.resize(lengths_.size());
    values_.resize(lengths_.size());
    // Unwritten cache holds NaN: nothing may leak from behind the last key.
    const auto cache = [&](const Shape& shape) { return on_.filled(shape, c_.cache, NAN); };
    kv_ = {{cache({blocks, c_.kv_heads, c_.head_dim, block_tokens}), cache({blocks, c_.kv_heads, block_tokens, c_.head_dim})}, 0};
  }

  void run() {
    append(true);
    // Blocks that no token of this step sees any more are freed: block 0 holds NaN, and no block is -1.
    for (size_t s = 0; s < lengths_.size(); s++) {
      const int next = lengths_[s].first;
      const int oldest = std::max(c_.window > 0 ? next - c_.window + 1 : 0, c_.chunk > 0 ? next / c_.chunk * c_.chunk : 0);
      for (int i = 0; i < std::max(0, oldest) / static_cast<int>(block_tokens); i++)
        table_[s * static_cast<size_t>(width_) + static_cast<size_t>(i)] = -(i % 2);
    }
    auto batch = append(false);
    for (auto [before, n] : lengths_) batch.context = std::max<int64_t>(batch.context, before + n);
    const int64_t T = batch.positions.shape()[0], D = c_.head_dim;
    const float scale = D > 128 ? 0.05f : 0.3f;
    const auto q = rounded_values(T * c_.heads * D, 7, c_.activations), sink_values = random_values(c_.heads, 9);
    std::optional<Tensor<B, Shard>> sinks;
    if (c_.sinks) sinks = on_.template tensor<Shard>({c_.heads}, DType::F32, sink_values);
    const auto in = on_.template tensor<Shard>({T, c_.heads * D}, c_.activations, q);
    test::poison(on_.queue, in.shape(), c_.activations);
    const AttentionParams params{static_cast<int>(D), scale, c_.window, c_.chunk, c_.softcap, 0};
    const auto got = to_host(on_.queue, attention(in, kv_, batch, params, sinks).view());
    for (size_t s = 0, t = 0; s < lengths_.size(); s++)
      for (int i = 0; i < lengths_[s].second; i++, t++)
        for (int64_t h = 0; h < c_.heads; h++) {
          const size_t row = (t * static_cast<size_t>(c_.heads) + static_cast<size_t>(h)) * static_cast<size_t>(D);
          expect_row(s, lengths_[s].first + i, h, scale, q.data() + row, sink_values[static_cast<size_t>(h)], got.data() + row);
          if (testing::Test::HasFatalFailure()) return;
        }
  }

 private:
  /// Feeds what was before, or the new tokens.
  Batch<B> append(bool history) {
    std::vector<int32_t> start{0}, positions;
    std::vector<float> k_step, v_step;
    const int64_t row = c_.kv_heads * c_.head_dim;
    for (size_t s = 0; s < lengths_.size(); s++) {
      const int first = history ? 0 : lengths_[s].first, n = history ? lengths_[s].first : lengths_[s].second;
      for (int i = 0; i < n; i++) positions.push_back(first + i);
      const auto k = rounded_values(n * row, static_cast<int>(s) * 2 + history, c_.activations),
                 v = rounded_values(n * row, static_cast<int>(s) * 2 + 100 + history, c_.activations);
      keys_[s].insert(keys_[s].end(), k.begin(), k.end());
      values_[s].insert(values_[s].end(), v.begin(), v.end());
      k_step.insert(k_step.end(), k.begin(), k.end());
      v_step.insert(v_step.end(), v.begin(), v.end());
      start.push_back(static_cast<int32_t>(positions.size()));
    }
    const auto T = static_cast<int64_t>(positions.size());
    Batch<B> batch{on_.ints(positions), on_.ints(positions), on_.ints(start), {}, on_.ints({0}), 0};
    batch.block_tables.push_back(from_host(on_.device, {static_cast<int64_t>(lengths_.size()), width_}, table_));
    // As in a model, k and v are columns of one tensor.
    std::vector<float> both;
    for (int64_t t = 0; t < T; t++) {
      both.insert(both.end(), k_step.begin() + t * row, k_step.begin() + (t + 1) * row);
      both.insert(both.end(), v_step.begin() + t * row, v_step.begin() + (t + 1) * row);
    }
    const auto kv = on_.template tensor<Shard>({T, 2 * row}, c_.activations, both);
    cache_append(kv_, kv.columns(0, row), kv.columns(row, 2 * row), batch);
    return batch;
  }

  void expect_row(size_t s, int position, int64_t head, float scale, const float* q, float sink, const float* got) const {
    const int64_t D = c_.head_dim, kv_head = head / (c_.heads / c_.kv_heads);
    const auto at = [&](const std::vector<float>& of, int64_t j, int64_t d) {
      return static_cast<double>(rounded(of[static_cast<size_t>((j * c_.kv_heads + kv_head) * D + d)], c_.cache));
    };
    std::vector<double> p;
    double total = c_.sinks ? std::exp(static_cast<double>(sink)) : 0;
    for (int j = 0; j <= position; j++) {
      double dot = 0;
      for (int64_t d = 0; d < D; d++) dot += static_cast<double>(q[d]) * at(keys_[s], j, d);
      dot *= static_cast<double>(scale);
      if (c_.softcap > 0) dot = static_cast<double>(c_.softcap) * std::tanh(dot / static_cast<double>(c_.softcap));
      const bool seen = (c_.window == 0 || position - j < c_.window) && (c_.chunk == 0 || position / c_.chunk == j / c_.chunk);
      p.push_back(seen ? std::exp(dot) : 0);
      total += p.back();
    }
    // Kernels for 16-bit activations may round the weights of the softmax to that type too.
    const double roundoff = c_.activations == DType::F32 ? 0 : test::unit_roundoff(c_.activations);
    for (int64_t d = 0; d < D; d++) {
      double want = 0, size = 0;
      for (size_t j = 0; j < p.size(); j++) {
        if (p[j] == 0) continue;
        const double v = at(values_[s], static_cast<int64_t>(j), d);
        want += p[j] / total * v;
        size += p[j] / total * std::abs(v);
      }
      ASSERT_NEAR(got[d], want, 2e-5 + (size + std::abs(want)) * roundoff)
          << "sequence " << s << " position " << position << " head " << head << " component " << d << " of " << c_.heads << "/"
          << c_.kv_heads << " heads of " << D << ", window " << c_.window << ", chunk " << c_.chunk << ", cache " << info(c_.cache).name
          << ", activations " << info(c_.activations).name;
    }
  }

  test::Fixture<B>& on_;
  Case c_;
  Lengths lengths_;
  int64_t width_ = 0;
  std::vector<int32_t> table_;
  LayerState<B> kv_;
  std::vector<std::vector<float>> keys_, values_;  // per sequence, as appended
};

class AttentionTest : public testing::TestWithParam<std::tuple<Isa, Case>> {};

TEST_P(AttentionTest, EqualsTheDefinition) {
  const auto [isa, c] = GetParam();
  CpuFixture cpu(isa);
  AttentionCheck<Cpu>(cpu, c, mixed).run();
}

std::vector<Case> cases() {
  return {{4, 2, 64, 0, 0, false, DType::F32},     {8, 1, 128, 0, 0, false, DType::BF16},     {3, 3, 20, 0, 0, false, DType::F16},
          {4, 2, 32, 19, 0, false, DType::F32},    {6, 2, 80, 33, 5, true, DType::F16},       {2, 2, 16, 1, 0, true, DType::F32},
          {4, 2, 24, 0, 0, false, DType::F32, 32}, {40, 1, 16, 0, 0, false, DType::BF16, 21}, {2, 1, 48, 0, 0, true, DType::F32, 640},
          {4, 2, 256, 0, 50, false, DType::F32},   {2, 1, 512, 0, 0, true, DType::BF16}};
}
INSTANTIATE_TEST_SUITE_P(All, AttentionTest, testing::Combine(testing::ValuesIn(test::isa_levels()), testing::ValuesIn(cases())));

const Lengths decode{{0, 1}, {15, 1}, {16, 1}, {700, 1}, {63, 1}, {64, 1}, {1500, 1}};
const Lengths with_empty{{17, 0}, {0, 65}, {40, 1}, {16, 63}, {3, 0}, {900, 20}, {64, 64}, {5, 1}};

TEST(AttentionCuda, EqualsTheDefinition) {
  test::on_cuda([](auto& on) {
    for (const Case& c : cases())
      for (const Lengths& lengths : {mixed, decode, with_empty, Lengths{{0, 130}}, Lengths{{1000, 1}}}) {
        AttentionCheck(on, c, lengths).run();
        if (testing::Test::HasFatalFailure()) return;
      }
  });
}

/// Types and sizes that kernels treat in ways of their own.
TEST(AttentionCuda, HalfPrecisionEqualsTheDefinition) {
  test::on_cuda([](auto& on) {
    int i = 0;
    for (int64_t dim : {64, 80, 96, 128, 192, 256, 512, 40, 7})
      for (auto [heads, kv_heads] : std::vector<std::pair<int64_t, int64_t>>{{4, 1}, {3, 3}, {14, 2}, {40, 2}, {8, 1}}) {
        if (dim > 128 && heads > 8) continue;
        const DType type = i % 3 == 0 ? DType::F16 : DType::BF16, cache = i % 7 == 6 ? DType::F32 : type;
        const int window = i % 4 == 1 ? 33 : i % 4 == 2 ? 200 : 0, chunk = i % 8 == 3 ? 48 : 0;
        const Case c{heads, kv_heads, dim, window, i % 5 == 4 ? 5.f : 0, i % 3 == 1, cache, chunk, type};
        for (const Lengths& lengths : {mixed, decode, with_empty}) {
          AttentionCheck(on, c, lengths).run();
          if (testing::Test::HasFatalFailure()) return;
        }
        i++;
      }
  });
}

TEST(AttentionCuda, RandomBatchesEqualTheDefinition) {
  test::on_cuda([](auto& on) {
    std::mt19937 rng(5);
    const auto pick = [&](auto... of) {
      const std::vector<std::common_type_t<decltype(of)...>> all{of...};
      return all[rng() % all.size()];
    };
    for (int i = 0; i < 60; i++) {
      const DType type = pick(DType::F32, DType::F16, DType::BF16, DType::BF16);
      const int64_t kv_heads = pick(1, 2, 3);
      const Case c{kv_heads * pick(1, 2, 3, 4, 5, 6, 7, 8),
                   kv_heads,
                   pick(64, 64, 128, 16, 30, 96),
                   pick(0, 0, 1, 16, 31, 100),
                   pick(0.f, 0.f, 4.f),
                   pick(0, 1) == 1,
                   pick(type, type, DType::F32),
                   pick(0, 0, 16, 50),
                   type};
      Lengths lengths;
      for (int s = pick(1, 2, 5); s > 0; s--)
        lengths.emplace_back(pick(0, 0, 1, 15, 16, 17, 63, 64, 65, 300), pick(0, 1, 1, 1, 2, 15, 16, 17, 63, 64, 65));
      lengths.emplace_back(pick(0, 16), 1);
      AttentionCheck(on, c, lengths).run();
      if (testing::Test::HasFatalFailure()) return;
    }
  });
}

TEST(Attention, ErrorsNameTheShapes) {
  CpuFixture cpu;
  // A cache of 3 blocks, 2 heads of 4.
  const LayerState<Cpu> kv{{cpu.filled({3, 2, 4, block_tokens}, DType::F32, 0), cpu.filled({3, 2, block_tokens, 4}, DType::F32, 0)}, 0};
  Batch<Cpu> batch{cpu.ints({0}), cpu.ints({0}), cpu.ints({0, 1}), {}, cpu.ints({0}), 1};
  batch.block_tables.push_back(from_host(cpu.device, {1, 1}, {0}));
  const auto append = [&](const Shape& k, const Shape& v) {
    return test::error_of([&] { cache_append(kv, cpu.random(k, DType::F32, 1), cpu.random(v, DType::F32, 1), batch); });
  };
  EXPECT_EQ(append({1, 8}, {1, 8}), "no error");
  EXPECT_NE(append({1, 8}, {1, 4}).find("(1, 8) (1, 4) (3, 2, 16, 4)"), std::string::npos);
  EXPECT_NE(append({1, 12}, {1, 12}).find("(1, 12) (1, 12) (3, 2, 16, 4)"), std::string::npos);
  const auto attend = [&](const Shape& q, int head_dim, int64_t sinks = 0) {
    std::optional<Tensor<Cpu>> s;
    if (sinks) s = cpu.filled({sinks}, DType::F32, 0);
    return test::error_of([&] { attention(cpu.random(q, DType::F32, 1), kv, batch, AttentionParams{head_dim, 1, 0, 0, 0}, s); });
  };
  EXPECT_EQ(attend({1, 16}, 4), "no error");
  EXPECT_NE(attend({1, 12}, 4).find("(1, 12) (3, 2, 16, 4) 4"), std::string::npos) << "three heads do not divide into two groups";
  EXPECT_NE(attend({1, 16}, 8).find("(1, 16) (3, 2, 16, 4) 8"), std::string::npos);
  EXPECT_NE(attend({1, 18}, 4).find("(1, 18)"), std::string::npos);
  EXPECT_NE(attend({1, 16}, 4, 3).find("one sink per query head: 4"), std::string::npos);
}

}  // namespace
}  // namespace infernum
