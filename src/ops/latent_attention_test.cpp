// Latent attention against its definition in double precision, on ragged batches with a poisoned cache, on every instruction set.
#include "ops/latent_attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/half.h"
#include "ops/cuda_test_support.h"

namespace infernum {
namespace {

using test::CpuFixture;
using test::random_values;

struct Case {
  int64_t heads;
  int rank, rope;
  DType cache, activations;
};

float rounded(float x, DType to) {
  return to == DType::F32 ? x : to == DType::F16 ? static_cast<float>(F16(x)) : static_cast<float>(BF16(x));
}

/// Sequences of one cache, their tokens known from the start and fed in steps.
template <class B>
class LatentCache {
 public:
  static constexpr float scale = 0.2f;

  LatentCache(test::Fixture<B>& on, const Case& c, const std::vector<int>& lengths)
      : on_(on), c_(c), lengths_(lengths), done_(lengths.size(), 0), width_(c.rank + c.rope) {
    int64_t blocks = 2;
    for (int n : lengths) columns_ = std::max<int64_t>(columns_, (n + block_tokens - 1) / block_tokens);
    for (size_t i = 0; i < lengths.size() * static_cast<size_t>(columns_); i++) table_.push_back(static_cast<int32_t>(blocks++));
    std::reverse(table_.begin(), table_.end());
    latent_.emplace(on.filled({blocks, block_tokens, width_}, c.cache, NAN));
    for (size_t s = 0; s < lengths.size(); s++) {
      rows_.push_back(random_values(lengths[s] * width_, static_cast<int>(s)));
      queries_.push_back(random_values(lengths[s] * c.heads * width_, static_cast<int>(s) + 50));
      for (float& x : rows_.back()) x = rounded(x, c.activations);
      for (float& x : queries_.back()) x = rounded(x, c.activations);
    }
  }

  /// Feeds the next tokens of each sequence, and gives their outputs (tokens, heads * rank), sequence by sequence.
  std::vector<std::vector<float>> step(const std::vector<int>& tokens) {
    std::vector<int32_t> positions, start{0};
    std::vector<float> c, kr, q;
    for (size_t s = 0; s < tokens.size(); s++) {
      for (int p = done_[s]; p < done_[s] + tokens[s]; p++) {
        positions.push_back(p);
        const auto row = rows_[s].begin() + static_cast<std::ptrdiff_t>(p * width_), query = queries_[s].begin() + p * c_.heads * width_;
        c.insert(c.end(), row, row + c_.rank);
        kr.insert(kr.end(), row + c_.rank, row + width_);
        q.insert(q.end(), query, query + c_.heads * width_);
      }
      done_[s] += tokens[s];
      start.push_back(static_cast<int32_t>(positions.size()));
    }
    const auto T = static_cast<int64_t>(positions.size());
    Batch<B> batch{on_.ints(positions), on_.ints(positions), on_.ints(start), {}, on_.ints({0}), 0};
    batch.block_tables.push_back(on_.ints({0}));  // another group's
    batch.block_tables.push_back(from_host(on_.device, {static_cast<int64_t>(tokens.size()), columns_}, table_));
    latent_append(*latent_, on_.template tensor<Full>({T, c_.rank}, c_.activations, c),
                  on_.template tensor<Full>({T, c_.rope}, c_.activations, kr), batch, 1);
    const auto in = on_.template tensor<Shard>({T, c_.heads * width_}, c_.activations, q);
    test::poison(on_.queue, {T, c_.heads * c_.rank}, c_.activations);
    const auto got = to_host(on_.queue, latent_attention(in, *latent_, batch, 1, LatentParams{c_.rank, c_.rope, scale, 0}).view());
    std::vector<std::vector<float>> y;
    for (size_t s = 0; s < tokens.size(); s++)
      y.emplace_back(got.begin() + start[s] * c_.heads * c_.rank, got.begin() + start[s + 1] * c_.heads * c_.rank);
    return y;
  }

  struct Value {
    double value, tolerance;
  };

  /// With a BF16 cache scaled queries (on the CPU) and weights are rounded as well; the latter is left to the tolerance.
  Value want(size_t s, int position, int64_t head, int64_t component) const {
    const bool on_cpu = std::is_same_v<B, Cpu>;
    const DType products = on_cpu && c_.cache == DType::BF16 ? DType::BF16 : DType::F32;
    const bool rounds_weights = on_cpu ? c_.cache == DType::BF16 : c_.cache != DType::F32 && c_.cache == c_.activations;
    double total = 0, value = 0, size = 0;
    const float* q = queries_[s].data() + (position * c_.heads + head) * width_;
    for (int j = 0; j <= position; j++) {
      const float* k = rows_[s].data() + j * width_;
      double dot = 0;
      for (int64_t d = 0; d < width_; d++)
        dot += static_cast<double>(rounded(q[d] * scale, products)) * static_cast<double>(rounded(k[d], c_.cache));
      const double p = std::exp(dot - 8), v = static_cast<double>(rounded(k[component], c_.cache));
      total += p;
      value += p * v;
      size += p * std::abs(v);
    }
    const double rounding = rounds_weights ? size / total * 2 * test::unit_roundoff(c_.cache) : 0;
    const double stored = c_.activations == DType::F32 ? 0 : test::unit_roundoff(c_.activations);
    return {value / total, 2e-5 + rounding + std::abs(value / total) * stored};
  }

 private:
  test::Fixture<B>& on_;
  Case c_;
  std::vector<int> lengths_, done_;
  int64_t width_, columns_ = 0;
  std::vector<int32_t> table_;
  std::optional<Tensor<B>> latent_;
  std::vector<std::vector<float>> rows_, queries_;  // per sequence (length, R + P), (length, heads * (R + P))
};

template <class B>
void equals_the_definition(test::Fixture<B>& on, const Case& c, const std::vector<int>& before, const std::vector<int>& now) {
  std::vector<int> lengths;
  for (size_t s = 0; s < now.size(); s++) lengths.push_back(before[s] + now[s]);
  LatentCache<B> cache(on, c, lengths);
  cache.step(before);
  const auto y = cache.step(now);
  for (size_t s = 0; s < now.size(); s++)
    for (int t = 0; t < now[s]; t++)
      for (int64_t h = 0; h < c.heads; h += 3)
        for (int64_t d = 0; d<c.rank; d += c.rank> 100 ? 37 : 5) {
          const auto [want, tolerance] = cache.want(s, before[s] + t, h, d);
          ASSERT_NEAR(y[s][static_cast<size_t>((t * c.heads + h) * c.rank + d)], want, tolerance)
              << "sequence " << s << " token " << t << " head " << h << " component " << d << " of " << c.heads << " heads of " << c.rank
              << " + " << c.rope << ", cache " << info(c.cache).name << ", activations " << info(c.activations).name;
        }
}

template <class B>
void steps_of_any_length_give_the_same(test::Fixture<B>& on, const Case& c) {
  LatentCache<B> whole(on, c, {50}), parts(on, c, {50});
  const auto want = whole.step({50});
  std::vector<float> got;
  for (int n : {1, 16, 7, 1, 25}) {
    const auto y = parts.step({n});
    got.insert(got.end(), y[0].begin(), y[0].end());
  }
  ASSERT_EQ(got.size(), want[0].size());
  const double roundoff = c.activations == DType::F32 ? 0 : test::unit_roundoff(c.activations);
  const bool rounds_weights = !std::is_same_v<B, Cpu> && roundoff > 0;  // whose order of sums may depend on the step
  for (size_t i = 0; i < got.size(); i++)
    ASSERT_NEAR(got[i], want[0][i], 1e-5 + std::abs(want[0][i]) * 2 * roundoff + (rounds_weights ? 2 * roundoff : 0));
}

std::vector<Case> cases() {
  return {{16, 128, 64, DType::F32, DType::F32},
          {3, 20, 6, DType::F32, DType::F32},
          {1, 512, 64, DType::BF16, DType::F32},
          {40, 32, 16, DType::F16, DType::BF16},
          {2, 33, 1, DType::BF16, DType::F16}};
}

class LatentAttentionTest : public testing::TestWithParam<std::tuple<Isa, Case>> {};

TEST_P(LatentAttentionTest, EqualsTheDefinition) {
  const auto [isa, c] = GetParam();
  for (int threads : {1, 2}) {
    CpuFixture cpu(isa, threads);
    equals_the_definition<Cpu>(cpu, c, {0, 0, 70, 15, 100, 600}, {1, 37, 1, 2, 33, 1});
  }
}

TEST_P(LatentAttentionTest, StepsOfAnyLengthGiveTheSame) {
  const auto [isa, c] = GetParam();
  CpuFixture cpu(isa);
  steps_of_any_length_give_the_same<Cpu>(cpu, c);
}

INSTANTIATE_TEST_SUITE_P(All, LatentAttentionTest, testing::Combine(testing::ValuesIn(test::isa_levels()), testing::ValuesIn(cases())));

TEST(LatentAttentionCuda, EqualsTheDefinition) {
  test::on_cuda([](auto& on) {
    auto all = cases();
    for (DType type : {DType::BF16, DType::F16})
      for (int64_t heads : {16, 5, 130}) all.push_back({heads, 512, 64, type, type});
    all.push_back({20, 256, 32, DType::BF16, DType::BF16});
    for (const Case& c : all) {
      equals_the_definition(on, c, {0, 0, 70, 15, 100, 600}, {1, 37, 1, 2, 33, 1});
      equals_the_definition(on, c, {0, 15, 16, 1000, 63, 7}, {1, 1, 1, 1, 1, 0});
      steps_of_any_length_give_the_same(on, c);
      if (testing::Test::HasFatalFailure()) return;
    }
  });
}

TEST(LatentAttention, ErrorsNameTheShapes) {
  CpuFixture cpu;
  const auto latent = cpu.filled({3, block_tokens, 12}, DType::F32, 0);
  Batch<Cpu> batch{cpu.ints({0}), cpu.ints({0}), cpu.ints({0, 1}), {}, cpu.ints({0}), 1};
  batch.block_tables.push_back(from_host(cpu.device, {1, 1}, {0}));
  const auto append = [&](const Shape& c, const Shape& kr) {
    return test::error_of([&] { latent_append(latent, cpu.random(c, DType::F32, 1), cpu.random(kr, DType::F32, 1), batch, 0); });
  };
  EXPECT_EQ(append({1, 8}, {1, 4}), "no error");
  EXPECT_NE(append({1, 8}, {1, 8}).find("(1, 8) (1, 8) (3, 16, 12)"), std::string::npos);
  EXPECT_NE(append({2, 8}, {1, 4}).find("(2, 8) (1, 4) (3, 16, 12)"), std::string::npos);
  const auto attend = [&](const Shape& q, int rank, int rope) {
    return test::error_of([&] { latent_attention(cpu.random(q, DType::F32, 1), latent, batch, 0, LatentParams{rank, rope, 1, 0}); });
  };
  EXPECT_EQ(attend({1, 24}, 8, 4), "no error");
  EXPECT_NE(attend({1, 24}, 8, 8).find("(3, 16, 12) 8 8"), std::string::npos);
  EXPECT_NE(attend({1, 20}, 8, 4).find("(1, 20) 8 4"), std::string::npos);
}

}  // namespace
}  // namespace infernum
