// SequenceCache: random lives of many sequences over windowed and full groups; no block has two owners, none is lost, and a window gives
// back exactly what it has passed.
#include "runtime/sequence_cache.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "core/check.h"

namespace infernum {
namespace {

/// A model that is nothing but its description.
class DescribedModel : public Model {
 public:
  explicit DescribedModel(const std::vector<Retention>& groups) {
    info_.context = 100000;
    info_.ranks = 1;
    info_.cache_dtype = DType::F16;
    std::vector<SequenceState> states;
    for (size_t g = 0; g < groups.size(); g++)
      for (size_t layer = 0; layer <= g; layer++)  // group g has g + 1 layers
        states.push_back({groups[g], {{"k_cache", {2, 8, block_tokens}}, {"v_cache", {2, block_tokens, 8}}}});
    info_.set_states(std::move(states));
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

constexpr Retention full{};
Retention window(int64_t tokens) { return {Retention::Kind::Window, tokens}; }
Retention chunk(int64_t tokens) { return {Retention::Kind::Chunk, tokens}; }
constexpr Retention recurrent{Retention::Kind::Recurrent};

/// First table entry of a group that a query at `next` or later can still see.
int64_t first_visible_block(const Retention& r, int64_t next) {
  if (r.kind == Retention::Kind::Chunk) return next / r.tokens * r.tokens / block_tokens;
  return r.kind == Retention::Kind::All ? 0 : std::max<int64_t>(0, next - r.tokens + 1) / block_tokens;
}

/// Every block has one owner; what a sequence holds is what its tokens need; free and held blocks are all blocks.
void expect_consistent(CachePools& pools, const std::vector<Life>& lives) {
  std::vector<std::set<int32_t>> owned(static_cast<size_t>(pools.groups()));
  int64_t recurrent_held = 0;
  for (const Life& life : lives) {
    int64_t held = 0;
    for (int g = 0; g < pools.groups(); g++) {
      const auto& table = life.cache->table(g);
      if (pools.info().groups[static_cast<size_t>(g)] == recurrent) {  // two blocks from the first reservation on
        held += life.reserved > 0 ? 2 : 0;
        recurrent_held += life.reserved > 0 ? 2 : 0;
        continue;
      }
      const int64_t needed = (life.reserved + block_tokens - 1) / block_tokens;
      ASSERT_EQ(static_cast<int64_t>(table.size()), needed);
      const int64_t first = std::min(needed, first_visible_block(pools.info().groups[static_cast<size_t>(g)], life.next));
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
    ASSERT_EQ(pools.group(g).available() + (pools.info().groups[static_cast<size_t>(g)] == recurrent
                                                ? recurrent_held
                                                : static_cast<int64_t>(owned[static_cast<size_t>(g)].size())),
              pools.group(g).size())
        << "group " << g;
}

TEST(SequenceCache, RandomLivesKeepTheAccounts) {
  for (unsigned seed = 0; seed < 30; seed++) {
    std::mt19937 rng(seed);
    const std::vector<std::vector<Retention>> shapes{{full}, {window(40)}, {full, window(17)}, {window(1), full, window(64)},
                                                     {chunk(48), full}, {recurrent, full}, {full, recurrent, window(33)}};
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
    const auto& groups = model.info().groups;
    if (groups != std::vector<Retention>{full} && groups != std::vector<Retention>{recurrent, full}) {
      EXPECT_GT(passed, 0) << "no window ever passed a block, seed " << seed;
    }
    lives.clear();
    for (int g = 0; g < pools.groups(); g++) EXPECT_EQ(pools.group(g).available(), pools.group(g).size()) << "everything came back";
  }
}

TEST(SequenceCache, AWindowPassesABlockWhenItsLastTokenIsOutOfSight) {
  DescribedModel model({window(20)});
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

TEST(SequenceCache, ARecurrentStateIsReadFromOneBlockAndLeftInAnother) {
  DescribedModel model({recurrent});
  CachePools pools(model, 1000, 1);
  EXPECT_EQ(pools.group(0).size(), 2) << "however long the sequence";
  SequenceCache cache(pools);
  ASSERT_TRUE(cache.reserve(1000));
  cache.begin_step(0, 40);
  const auto first = cache.table(0);
  ASSERT_EQ(first.size(), 3u);
  EXPECT_EQ(first[1], -1) << "no checkpoint was asked for";
  cache.begin_step(40, 41);
  EXPECT_EQ(cache.table(0)[2], first[2]) << "within a block the state stays where it is";
  cache.begin_step(48, 49);
  EXPECT_EQ(cache.table(0)[2], first[2]) << "where the step before left it";
  EXPECT_NE(cache.table(0)[3], first[2]) << "a new block does not overwrite the state it starts from";
  cache.clear();
  EXPECT_EQ(pools.group(0).available(), 2);
}

TEST(SequenceCache, MovingMovesTheBlocks) {
  DescribedModel model({full});
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
  DescribedModel model({full});
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
  DescribedModel model({full, window(32)});
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
