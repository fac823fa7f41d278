// Attention and rope against plain double-precision references, on every instruction set.
#include "ops/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/half.h"
#include "ops/rope.h"
#include "ops/test_support.h"

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
};

/// Sequences of a ragged batch: (cached before, new tokens).
const std::vector<std::pair<int, int>> sequences{{0, 1}, {0, 37}, {70, 1}, {15, 2}, {100, 33}, {700, 1}};

class AttentionTest : public testing::TestWithParam<std::tuple<Isa, Case>> {};

TEST_P(AttentionTest, EqualsTheDefinition) {
  const auto [isa, c] = GetParam();
  CpuFixture cpu(isa);
  cpu.device.cache_dtype = c.cache;
  const int64_t D = c.head_dim, G = c.heads / c.kv_heads;
  int64_t blocks = 3, width = 0;
  for (auto [before, n] : sequences) width = std::max<int64_t>(width, (before + n + block_tokens - 1) / block_tokens);
  std::vector<int32_t> table, start{0};
  for (size_t s = 0; s < sequences.size(); s++)
    for (int64_t i = 0; i < width; i++) table.push_back(static_cast<int32_t>(blocks++));
  std::reverse(table.begin(), table.end());
  // Unwritten cache holds NaN: nothing may leak from behind the last key.
  const auto cache = [&](const Shape& shape) { return cpu.filled(shape, c.cache, NAN); };
  const LayerState<Cpu> kv{{cache({blocks, c.kv_heads, D, block_tokens}), cache({blocks, c.kv_heads, block_tokens, D})}, 0};

  std::vector<std::vector<float>> keys, values;  // per sequence, as cached
  std::vector<int32_t> ids, positions;
  std::vector<float> q_values;
  const auto step = [&](bool history) {
    start = {0};
    positions.clear();
    std::vector<float> k_step, v_step;
    for (size_t s = 0; s < sequences.size(); s++) {
      const int first = history ? 0 : sequences[s].first, n = history ? sequences[s].first : sequences[s].second;
      for (int i = 0; i < n; i++) positions.push_back(first + i);
      const auto k = random_values(n * c.kv_heads * D, static_cast<int>(s) * 2 + history),
                 v = random_values(n * c.kv_heads * D, static_cast<int>(s) * 2 + 100 + history);
      if (history) keys.emplace_back(), values.emplace_back();
      keys[s].insert(keys[s].end(), k.begin(), k.end());
      values[s].insert(values[s].end(), v.begin(), v.end());
      k_step.insert(k_step.end(), k.begin(), k.end());
      v_step.insert(v_step.end(), v.begin(), v.end());
      start.push_back(static_cast<int32_t>(positions.size()));
    }
    const auto T = static_cast<int64_t>(positions.size());
    Batch<Cpu> batch{cpu.ints(positions), cpu.ints(positions), cpu.ints(start), {}, cpu.ints({0}), 0};
    batch.block_tables.push_back(from_host(cpu.device, {static_cast<int64_t>(sequences.size()), width}, table));
    const auto k = cpu.tensor<Shard>({T, c.kv_heads * D}, DType::F32, k_step),
               v = cpu.tensor<Shard>({T, c.kv_heads * D}, DType::F32, v_step);
    cache_append(kv, k, v, batch);
    return batch;
  };
  step(true);
  // Blocks that no token of this step sees any more are freed: block 0 holds NaN.
  for (size_t s = 0; s < sequences.size(); s++) {
    const int next = sequences[s].first;
    const int oldest = std::max(c.window > 0 ? next - c.window + 1 : 0, c.chunk > 0 ? next / c.chunk * c.chunk : 0);
    std::fill_n(table.begin() + static_cast<std::ptrdiff_t>(s) * width, std::max(0, oldest) / block_tokens, 0);
  }
  const auto batch = step(false);
  const auto T = static_cast<int64_t>(positions.size());
  const float scale = D > 128 ? 0.05f : 0.3f;
  q_values = random_values(T * c.heads * D, 7);
  std::optional<Tensor<Cpu, Shard>> sinks;
  const auto sink_values = random_values(c.heads, 9);
  if (c.sinks) sinks = cpu.tensor<Shard>({c.heads}, DType::F32, sink_values);
  const auto got = to_host(cpu.queue, attention(cpu.tensor<Shard>({T, c.heads * D}, DType::F32, q_values), kv, batch,
                                                AttentionParams{static_cast<int>(D), scale, c.window, c.chunk, c.softcap, 0}, sinks)
                                          .view());
  const auto round = [&](float x) {
    return c.cache == DType::F32 ? x : c.cache == DType::F16 ? static_cast<float>(F16(x)) : static_cast<float>(BF16(x));
  };
  for (size_t s = 0; s < sequences.size(); s++)
    for (int32_t t = start[s]; t < start[s + 1]; t++)
      for (int64_t h = 0; h < c.heads; h++) {
        const int64_t kv_head = h / G;
        std::vector<double> p;
        double total = c.sinks ? std::exp(static_cast<double>(sink_values[static_cast<size_t>(h)])) : 0;
        for (int32_t j = 0; j <= positions[static_cast<size_t>(t)]; j++) {
          double dot = 0;
          for (int64_t d = 0; d < D; d++)
            dot += static_cast<double>(q_values[static_cast<size_t>((t * c.heads + h) * D + d)]) *
                   static_cast<double>(round(keys[s][static_cast<size_t>((j * c.kv_heads + kv_head) * D + d)]));
          dot *= static_cast<double>(scale);
          if (c.softcap > 0) dot = static_cast<double>(c.softcap) * std::tanh(dot / static_cast<double>(c.softcap));
          const bool seen = (c.window == 0 || positions[static_cast<size_t>(t)] - j < c.window) &&
                            (c.chunk == 0 || positions[static_cast<size_t>(t)] / c.chunk == j / c.chunk);
          p.push_back(seen ? std::exp(dot) : 0);
          total += p.back();
        }
        for (int64_t d = 0; d < D; d++) {
          double want = 0;
          for (size_t j = 0; j < p.size(); j++)
            want += p[j] / total *
                    static_cast<double>(round(values[s][static_cast<size_t>((static_cast<int64_t>(j) * c.kv_heads + kv_head) * D + d)]));
          ASSERT_NEAR(got[static_cast<size_t>((t * c.heads + h) * D + d)], want, 2e-5)
              << "sequence " << s << " token " << t << " head " << h << " component " << d;
        }
      }
}

INSTANTIATE_TEST_SUITE_P(
    All, AttentionTest,
    testing::Combine(testing::ValuesIn(test::isa_levels()),
                     testing::Values(Case{4, 2, 64, 0, 0, false, DType::F32}, Case{8, 1, 128, 0, 0, false, DType::BF16},
                                     Case{3, 3, 20, 0, 0, false, DType::F16}, Case{4, 2, 32, 19, 0, false, DType::F32},
                                     Case{6, 2, 80, 33, 5, true, DType::F16}, Case{2, 2, 16, 1, 0, true, DType::F32},
                                     Case{4, 2, 24, 0, 0, false, DType::F32, 32}, Case{40, 1, 16, 0, 0, false, DType::BF16, 21},
                                     Case{2, 1, 48, 0, 0, true, DType::F32, 640}, Case{4, 2, 256, 0, 50, false, DType::F32},
                                     Case{2, 1, 512, 0, 0, true, DType::BF16})));

class RopeTest : public testing::TestWithParam<std::tuple<Isa, DType, bool>> {};

TEST_P(RopeTest, EqualsTheDefinition) {
  const auto [isa, dtype, interleaved] = GetParam();
  CpuFixture cpu(isa);
  const int64_t heads = 3;
  const std::vector<int32_t> positions{0, 1, 5, 1000, 131071};
  for (auto [head_dim, d] : std::vector<std::pair<int64_t, int64_t>>{{64, 64}, {20, 20}, {80, 32}, {16, 6}}) {
    std::vector<float> inv;
    for (int64_t i = 0; i < d / 2; i++) inv.push_back(std::pow(10000.f, -2.f * static_cast<float>(i) / static_cast<float>(d)));
    const auto T = static_cast<int64_t>(positions.size());
    const auto x = cpu.tensor<Shard>({T, heads * head_dim}, dtype, random_values(T * heads * head_dim, 3));
    const auto in = to_host(cpu.queue, x.view());
    const auto table = rope_table(cpu.ints(positions), cpu.tensor<Full>({d / 2}, DType::F32, inv), 1.25f);
    const auto y = to_host(cpu.queue, rope(x, table, RopeParams{static_cast<int>(head_dim), interleaved}).view());
    for (int64_t t = 0; t < T; t++)
      for (int64_t h = 0; h < heads; h++) {
        const size_t base = static_cast<size_t>((t * heads + h) * head_dim);
        std::vector<double> want(in.begin() + static_cast<std::ptrdiff_t>(base), in.begin() + static_cast<std::ptrdiff_t>(base) + head_dim);
        for (int64_t i = 0; i < d / 2; i++) {
          const auto angle = static_cast<double>(static_cast<float>(positions[static_cast<size_t>(t)]) * inv[static_cast<size_t>(i)]);
          const size_t a = static_cast<size_t>(interleaved ? 2 * i : i), b = static_cast<size_t>(interleaved ? 2 * i + 1 : i + d / 2);
          const double u = in[base + a], v = in[base + b], c = 1.25 * std::cos(angle), s = 1.25 * std::sin(angle);
          want[a] = u * c - v * s;
          want[b] = v * c + u * s;
        }
        for (int64_t i = 0; i < head_dim; i++)
          ASSERT_NEAR(y[base + static_cast<size_t>(i)], want[static_cast<size_t>(i)],
                      dtype == DType::F32   ? 1e-5
                      : dtype == DType::F16 ? 4e-3
                                            : 3e-2)
              << "token " << t << " head " << h << " component " << i;
      }
  }
}

TEST_P(RopeTest, ReadsAndWritesColumnsOfWiderTensors) {
  const auto [isa, dtype, interleaved] = GetParam();
  CpuFixture cpu(isa);
  const RopeParams params{20, interleaved};
  const auto table = rope_table(cpu.ints({3, 0, 9}), cpu.tensor<Full>({8}, DType::F32, random_values(8, 1)), 1);
  const auto wide = cpu.random({3, 100}, dtype, 2), y = cpu.filled({3, 70}, dtype, NAN);
  const auto part = wide.columns(30, 90);
  test::poison(cpu.queue, {3, 60}, dtype);
  const auto want = to_host(cpu.queue, rope(cpu.tensor<Full>({3, 60}, dtype, to_host(cpu.queue, part.view())), table, params).view());
  kernel(Rope{}, cpu.queue, y.columns(5, 65).view(), part.view(), table.view(), params);
  EXPECT_EQ(to_host(cpu.queue, y.columns(5, 65).view()), want);
  for (float edge : to_host(cpu.queue, y.columns(0, 5).view())) EXPECT_TRUE(std::isnan(edge));
  for (float edge : to_host(cpu.queue, y.columns(65, 70).view())) EXPECT_TRUE(std::isnan(edge));
}

INSTANTIATE_TEST_SUITE_P(All, RopeTest,
                         testing::Combine(testing::ValuesIn(test::isa_levels()), testing::Values(DType::F32, DType::BF16, DType::F16),
                                          testing::Bool()));

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
