// SequenceCache: random lives of many sequences over windowed and full groups; no block has two owners, none is lost, and a window gives
// back exactly what it has passed.
#include "runtime/sequence_cache.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "core/check.h"
#include "ops/batch.h"

namespace infernum {
namespace {

/// A model that is nothing but its description.
class DescribedModel : public Model {
 public:
  explicit DescribedModel(std::vector<int> windows) {
    info_.group_windows = std::move(windows);
    info_.context = 100000;
    info_.cache_dtype = DType::F16;
    for (size_t g = 0; g < info_.group_windows.size(); g++)
      for (size_t layer = 0; layer <= g; layer++) {  // group g has g + 1 layers
        info_.cache.push_back({2, 8, info_.group_windows[g]});
        info_.layer_group.push_back(static_cast<int>(g));
      }
  }
  const ModelInfo& info() const override { return info_; }
  void allocate_cache(const std::vector<int64_t>& blocks) override { allocated = blocks; }
  std::vector<float> forward(const HostBatch&) override { return {}; }
  void observe(Observer) override {}
  void observe_ops(Observer) override {}
  void time_ops(std::function<void(std::string_view, double)>) override {}
  std::vector<int64_t> allocated;

 private:
  ModelInfo info_;
};

struct Life {
  std::unique_ptr<SequenceCache> cache;
  int64_t reserved = 0, next = 0;  ///< tokens with room; first position not yet computed
};

/// First table entry of a group that a query at `next` or later can still see.
int64_t first_visible_block(int window, int64_t next) { return window == 0 ? 0 : std::max<int64_t>(0, next - window + 1) / block_tokens; }

/// Every block has one owner; what a sequence holds is what its tokens need; free and held blocks are all blocks.
void expect_consistent(CachePools& pools, const std::vector<Life>& lives) {
  std::vector<std::set<int32_t>> owned(static_cast<size_t>(pools.groups()));
  for (const Life& life : lives) {
    int64_t held = 0;
    for (int g = 0; g < pools.groups(); g++) {
      const auto& table = life.cache->table(g);
      const int64_t needed = (life.reserved + block_tokens - 1) / block_tokens;
      ASSERT_EQ(static_cast<int64_t>(table.size()), needed);
      const int64_t first = std::min(needed, first_visible_block(pools.info().group_windows[static_cast<size_t>(g)], life.next));
      for (int64_t i = 0; i < needed; i++) {
        const int32_t block = table[static_cast<size_t>(i)];
        if (i < first) {
          ASSERT_EQ(block, 0) << "entry " << i << " of group " << g << " was passed";
        } else {
          ASSERT_TRUE(owned[static_cast<size_t>(g)].insert(block).second) << "block " << block << " of group " << g << " has two owners";
          ASSERT_EQ(pools.group(g).references(block), 1);
          held++;
        }
      }
    }
    ASSERT_EQ(life.cache->blocks_held(), held);
  }
  for (int g = 0; g < pools.groups(); g++)
    ASSERT_EQ(pools.group(g).available() + static_cast<int64_t>(owned[static_cast<size_t>(g)].size()), pools.group(g).size())
        << "group " << g;
}

TEST(SequenceCache, RandomLivesKeepTheAccounts) {
  for (unsigned seed = 0; seed < 30; seed++) {
    std::mt19937 rng(seed);
    const std::vector<std::vector<int>> shapes{{0}, {40}, {0, 17}, {1, 0, 64}};
    DescribedModel model(shapes[seed % shapes.size()]);
    CachePools pools(model, 600, 4);
    std::vector<Life> lives;
    int refused = 0, passed = 0;
    for (int step = 0; step < 400; step++) {
      const auto pick = [&]() -> Life& { return lives[rng() % lives.size()]; };
      switch (lives.empty() ? 0 : rng() % 5) {
        case 0:
          if (lives.size() < 12) lives.push_back({std::make_unique<SequenceCache>(pools), 0, 0});
          break;
        case 1: {
          Life& life = pick();
          const int64_t wanted = life.reserved + static_cast<int64_t>(rng() % 120);
          std::vector<int64_t> free;
          std::vector<std::vector<int32_t>> tables;
          for (int g = 0; g < pools.groups(); g++) free.push_back(pools.group(g).available()), tables.push_back(life.cache->table(g));
          if (life.cache->reserve(wanted)) {
            life.reserved = std::max(life.reserved, wanted);
          } else {
            refused++;
            for (int g = 0; g < pools.groups(); g++) {
              ASSERT_EQ(pools.group(g).available(), free[static_cast<size_t>(g)]) << "a refused reserve takes nothing";
              ASSERT_EQ(life.cache->table(g), tables[static_cast<size_t>(g)]);
            }
          }
          break;
        }
        case 2: {
          Life& life = pick();
          if (life.reserved > life.next) life.next += 1 + static_cast<int64_t>(rng()) % (life.reserved - life.next);
          const int64_t before = life.cache->blocks_held();
          life.cache->release_passed(life.next);
          passed += life.cache->blocks_held() < before;
          break;
        }
        case 3: {
          Life& life = pick();
          if (rng() % 4 == 0) {
            life.cache->clear();
            life.reserved = life.next = 0;
          }
          break;
        }
        default:
          if (rng() % 4 == 0) lives.erase(lives.begin() + static_cast<std::ptrdiff_t>(rng() % lives.size()));
      }
      expect_consistent(pools, lives);
      if (testing::Test::HasFatalFailure()) FAIL() << "seed " << seed << " step " << step;
    }
    EXPECT_GT(refused, 0) << "the pools were never short, seed " << seed;
    if (model.info().group_windows != std::vector<int>{0}) {
      EXPECT_GT(passed, 0) << "no window ever passed a block, seed " << seed;
    }
    lives.clear();
    for (int g = 0; g < pools.groups(); g++) EXPECT_EQ(pools.group(g).available(), pools.group(g).size()) << "everything came back";
  }
}

TEST(SequenceCache, AWindowPassesABlockWhenItsLastTokenIsOutOfSight) {
  DescribedModel model({20});
  CachePools pools(model, 200, 1);
  SequenceCache cache(pools);
  ASSERT_TRUE(cache.reserve(100));
  cache.release_passed(34);  // a query at 34 sees 15..34: position 15 is the last of block 0
  EXPECT_EQ(cache.blocks_held(), 7);
  cache.release_passed(35);
  EXPECT_EQ(cache.blocks_held(), 6);
  cache.release_passed(35);
  EXPECT_EQ(cache.blocks_held(), 6) << "nothing is given back twice";
  cache.release_passed(1000);
  EXPECT_EQ(cache.blocks_held(), 0);
}

TEST(SequenceCache, MovingMovesTheBlocks) {
  DescribedModel model({0});
  CachePools pools(model, 64, 1);
  const int64_t all = pools.group(0).available();
  {
    SequenceCache first(pools);
    ASSERT_TRUE(first.reserve(40));
    const SequenceCache second(std::move(first));
    EXPECT_EQ(second.blocks_held(), 3);
    EXPECT_EQ(pools.group(0).available(), all - 3);
  }
  EXPECT_EQ(pools.group(0).available(), all) << "given back once";
}

TEST(SequenceCache, ASharedBlockLivesUntilItsLastOwnerGoes) {
  DescribedModel model({0});
  CachePools pools(model, 64, 1);
  auto cache = std::make_unique<SequenceCache>(pools);
  ASSERT_TRUE(cache->reserve(16));
  const int32_t block = cache->table(0)[0];
  const int64_t free = pools.group(0).available();
  pools.group(0).share(block);
  cache.reset();
  EXPECT_EQ(pools.group(0).available(), free);
  EXPECT_EQ(pools.group(0).references(block), 1);
  pools.group(0).release(block);
  EXPECT_EQ(pools.group(0).available(), free + 1);
}

TEST(CachePools, AllocateTheModelsCacheAndCountItsBytes) {
  DescribedModel model({0, 32});
  CachePools pools(model, 100, 3);
  ASSERT_EQ(pools.groups(), 2);
  EXPECT_EQ(model.allocated, (std::vector<int64_t>{pools.group(0).size(), pools.group(1).size()}));
  EXPECT_GE(pools.group(0).size(), 7) << "100 tokens are seven blocks";
  // Group 0 has one layer, group 1 two: keys and values of 2 heads of 8 in two bytes.
  EXPECT_EQ(model.info().block_bytes(0), 2 * 2 * 8 * block_tokens * 2);
  EXPECT_EQ(model.info().block_bytes(1), 2 * model.info().block_bytes(0));
  EXPECT_EQ(pools.bytes(), pools.group(0).size() * model.info().block_bytes(0) + pools.group(1).size() * model.info().block_bytes(1));
}

}  // namespace
}  // namespace infernum
