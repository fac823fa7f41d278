// RopeAppend: the fused form against its parts, in steps of few tokens and of many, for every pairing and type of the cache.
#include "blocks/rope_append.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/cuda_test_support.h"
#include "ops/sequence_state.h"

namespace infernum {
namespace {

using test::CpuFixture;
using test::Fixture;

/// What one run leaves: the rotated queries, then the caches.
template <class B>
std::vector<std::vector<float>> results(Fixture<B>& on, DType dtype, DType cache, const std::vector<std::pair<int, int>>& lengths,
                                        RopeParams p, int64_t rotated, Fusion fusion) {
  constexpr int64_t q_heads = 6, kv_heads = 2, blocks_each = 5;
  const int64_t dim = p.head_dim, blocks = blocks_each * static_cast<int64_t>(lengths.size());
  std::vector<int32_t> positions, start{0}, table;
  for (auto [before, n] : lengths) {
    for (int i = 0; i < n; i++) positions.push_back(before + i);
    start.push_back(static_cast<int32_t>(positions.size()));
  }
  for (int64_t i = 0; i < blocks; i++) table.push_back(static_cast<int32_t>(blocks - 1 - i));
  const auto tokens = static_cast<int64_t>(positions.size());
  // As in a model, q, k and v are columns of one tensor.
  const auto qkv = on.template random<Shard>({tokens, (q_heads + 2 * kv_heads) * dim}, dtype, 1);
  const auto q = qkv.columns(0, q_heads * dim), k = qkv.columns(q_heads * dim, (q_heads + kv_heads) * dim),
             v = qkv.columns((q_heads + kv_heads) * dim, (q_heads + 2 * kv_heads) * dim);
  const auto angles = on.random({tokens, rotated}, DType::F32, 2);
  const auto k_cache = on.filled({blocks, kv_heads, dim, block_tokens}, cache, NAN),
             v_cache = on.filled({blocks, kv_heads, block_tokens, dim}, cache, NAN);
  on.device.fusion = fusion;
  test::poison(on.queue, q.shape(), dtype);
  const auto y = rope_append(q, k, v, angles, k_cache, v_cache, on.ints(positions), on.ints(start),
                             from_host(on.device, {static_cast<int64_t>(lengths.size()), blocks_each}, table), p);
  return {to_host(on.queue, y.view()), to_host(on.queue, k_cache.view()), to_host(on.queue, v_cache.view())};
}

template <class B>
void rope_append_equals_its_parts(Fixture<B>& on, DType dtype) {
  for (const auto& lengths :
       std::vector<std::vector<std::pair<int, int>>>{{{40, 1}}, {{0, 1}, {17, 1}, {79, 1}}, {{3, 2}, {15, 9}}, {{5, 70}, {31, 1}}})
    for (const auto& [dim, rotated] : std::vector<std::pair<int, int64_t>>{{64, 64}, {128, 64}, {20, 6}})
      for (const bool interleaved : {false, true})
        for (const DType cache : {dtype, DType::F32}) {
          const RopeParams p{dim, interleaved};
          const auto parts = results(on, dtype, cache, lengths, p, rotated, Fusion::Off);
          for (const Fusion fusion : {Fusion::On, Fusion::Check}) {
            const auto fused = results(on, dtype, cache, lengths, p, rotated, fusion);
            for (size_t n = 0; n < 3; n++)
              for (size_t i = 0; i < parts[n].size(); i++) {
                const double want = parts[n][i];
                ASSERT_EQ(std::isnan(fused[n][i]), std::isnan(parts[n][i])) << "of result " << n << " element " << i;
                // The same formula, contracted perhaps differently before it is rounded.
                if (!std::isnan(parts[n][i])) {
                  ASSERT_NEAR(fused[n][i], want, 2.1 * std::abs(want) * test::unit_roundoff(dtype) + 1e-6) << n << ", " << i;
                }
              }
          }
        }
}

class RopeAppendTest : public testing::TestWithParam<std::tuple<Isa, DType>> {
 protected:
  Isa isa = std::get<0>(GetParam());
  DType dtype = std::get<1>(GetParam());
  CpuFixture cpu{isa};
};

TEST_P(RopeAppendTest, EqualsItsParts) { rope_append_equals_its_parts(cpu, dtype); }

INSTANTIATE_TEST_SUITE_P(All, RopeAppendTest,
                         testing::Combine(testing::ValuesIn(test::isa_levels()), testing::Values(DType::F32, DType::F16, DType::BF16)));

TEST(RopeAppendCuda, EqualsItsParts) {
  test::on_cuda_with_types([](auto& on, DType dtype) { rope_append_equals_its_parts(on, dtype); });
}

TEST(RopeAppend, ErrorsNameShapesAndTypes) {
  CpuFixture cpu;
  const auto q = cpu.filled({2, 8}, DType::F32, 0), k = cpu.filled({2, 4}, DType::F32, 0), half = cpu.filled({2, 4}, DType::F16, 0),
             table = cpu.filled({2, 4}, DType::F32, 0), cache = cpu.filled({1, 1, 4, block_tokens}, DType::F32, 0),
             values = cpu.filled({1, 1, block_tokens, 4}, DType::F32, 0);
  const auto ints = cpu.ints({0, 1}), blocks = ints.reshape({1, 2});
  const auto error = [&](const auto& keys, const auto& v, const auto& angles, int head_dim) {
    return test::error_of([&] { RopeAppend::out(q, keys, v, angles, cache, values, ints, ints, blocks, {head_dim, false}); });
  };
  EXPECT_NE(error(q, q, table, 4).find("(2, 8) (2, 8) (2, 8) (1, 1, 16, 4)"), std::string::npos);
  EXPECT_NE(error(k, k, table, 3).find("rows of heads"), std::string::npos);
  EXPECT_NE(error(half, half, table, 4).find("F32 F16 F16"), std::string::npos);
  EXPECT_NE(error(k, k, q, 4).find("not wider than a head"), std::string::npos);
}

}  // namespace
}  // namespace infernum
