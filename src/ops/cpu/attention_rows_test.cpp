// A row of attention has the same bits alone and with others, on any number of threads: long sequences, which are cut into parts.
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <random>

#include "core/half.h"
#include "ops/batch.h"
#include "ops/cpu/attention.h"
#include "ops/cpu/matmul_test_data.h"

namespace infernum {
namespace {

constexpr int64_t tokens = 2500, blocks = (tokens + block_tokens - 1) / block_tokens;

struct Shape3 {
  KeyLayout keys;
  int64_t kv_heads, group, key_dim, value_dim;
  DType cache = DType::F32;
};

std::vector<float> random_floats_of(int64_t n, unsigned seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  std::vector<float> v(static_cast<size_t>(n));
  for (float& x : v) x = normal(rng);
  return v;
}

class AttentionRows : public testing::TestWithParam<Isa> {
 protected:
  /// Of the queries begin .. end - 1 of one sequence; (end - begin, heads * value_dim).
  std::vector<float> attend(const Shape3& s, std::vector<float>& q, std::vector<float>& k, std::vector<float>& v, int window, int64_t begin,
                            int64_t end, int threads) {
    Queue<Cpu> queue(threads, GetParam());
    const int64_t rows = end - begin, heads = s.kv_heads * s.group;
    std::vector<int32_t> positions(static_cast<size_t>(rows)), start{0, static_cast<int32_t>(rows)}, table(blocks);
    std::iota(positions.begin(), positions.end(), static_cast<int32_t>(begin));
    std::iota(table.rbegin(), table.rend(), 0);
    std::vector<float> y(static_cast<size_t>(rows * heads * s.value_dim));
    const auto view = [](void* of, int64_t n, int64_t cols, DType dtype) { return View<Cpu>{of, {n, cols}, cols, 2, dtype}; };
    AttentionWork work{view(y.data(), rows, heads * s.value_dim, DType::F32),
                       view(q.data() + begin * heads * s.key_dim, rows, heads * s.key_dim, DType::F32),
                       view(positions.data(), 1, rows, DType::I32), view(start.data(), 1, 2, DType::I32),
                       view(table.data(), 1, blocks, DType::I32)};
    work.kv_heads = s.kv_heads;
    work.group = s.group;
    work.key_dim = s.key_dim;
    work.value_dim = s.value_dim;
    work.value_stride = s.keys == KeyLayout::Rows ? s.key_dim : s.value_dim;
    work.head_stride = s.key_dim * block_tokens;
    work.block_stride = s.kv_heads * work.head_stride;
    work.k = k.data();
    work.v = s.keys == KeyLayout::Rows ? k.data() : v.data();
    work.keys = s.keys;
    work.cache = s.cache;
    std::vector<BF16> narrow_k, narrow_v;
    if (s.cache == DType::BF16) {
      for (float x : k) narrow_k.emplace_back(x);
      for (float x : v) narrow_v.emplace_back(x);
      work.k = narrow_k.data();
      work.v = s.keys == KeyLayout::Rows ? narrow_k.data() : narrow_v.data();
    }
    work.scale = 0.3f;
    work.window = window;
    run_attention(queue, work);
    return y;
  }
};

TEST_P(AttentionRows, HaveTheSameBitsInAnyCompany) {
  for (const Shape3& s : {Shape3{KeyLayout::Components, 2, 3, 24, 24}, Shape3{KeyLayout::Components, 1, 1, 33, 33},
                          Shape3{KeyLayout::Rows, 1, 5, 40, 32}, Shape3{KeyLayout::Rows, 1, 19, 41, 37, DType::BF16}})
    for (int window : {0, 300}) {
      const int64_t heads = s.kv_heads * s.group, width = heads * s.value_dim;
      auto q = random_floats_of(tokens * heads * s.key_dim, 1), k = random_floats_of(blocks * block_tokens * s.kv_heads * s.key_dim, 2),
           v = random_floats_of(blocks * block_tokens * s.kv_heads * s.value_dim, 3);
      for (int64_t end : {int64_t{230}, int64_t{800}, tokens}) {
        constexpr int64_t rows = 37;
        const auto together = attend(s, q, k, v, window, end - rows, end, 1);
        for (int threads : {2, 3, 16})
          EXPECT_EQ(attend(s, q, k, v, window, end - rows, end, threads), together) << end << " by " << threads;
        for (int64_t t = 0; t < rows; t += 4)
          for (int threads : {1, 5})
            for (int64_t n : {int64_t{1}, std::min<int64_t>(6, rows - t)}) {
              const auto part = attend(s, q, k, v, window, end - rows + t, end - rows + t + n, threads);
              ASSERT_EQ(std::memcmp(part.data(), together.data() + t * width, static_cast<size_t>(4 * n * width)), 0)
                  << n << " rows from " << end - rows + t << ", window " << window << ", " << threads << " threads";
            }
      }
    }
}
INSTANTIATE_TEST_SUITE_P(Cpu, AttentionRows, testing::ValuesIn(levels_here()), [](const auto& p) { return describe(p.param); });

TEST(AttentionParts, EndWhereTheyShould) {
  EXPECT_EQ(part_end(0), 256);
  EXPECT_EQ(part_end(255), 256);
  EXPECT_EQ(part_end(256), 512);
  EXPECT_EQ(part_end(8191), 8192);
  EXPECT_EQ(part_end(8192), 8192 + 512);
  EXPECT_EQ(part_end(131072), 131072 + 8192);
  int64_t parts = 0;
  for (int64_t key = 0; key < int64_t{1} << 20; key = part_end(key)) parts++;
  EXPECT_EQ(parts, 32 + 7 * 16);
}

}  // namespace
}  // namespace infernum
