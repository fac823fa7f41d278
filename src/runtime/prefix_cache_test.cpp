// PrefixCache: what is found, for whom, why no more, and in which order it goes.
#include "runtime/prefix_cache.h"

#include <gtest/gtest.h>

#include "core/check.h"
#include "runtime/fake_model.h"

namespace infernum {
namespace {

using test::FakeModel;

constexpr Retention full{};
constexpr Retention recurrent{Retention::Kind::Recurrent};
Retention window(int64_t tokens) { return {Retention::Kind::Window, tokens}; }

std::vector<int32_t> tokens_of(int64_t count, int32_t seed) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; i++) ids.push_back(static_cast<int32_t>((seed * 31 + i * i) % 50));
  return ids;
}

/// A sequence that computes its tokens in steps as the scheduler would.
struct Life {
  explicit Life(CachePools& pools) : cache(pools) {}
  SequenceCache cache;
  PrefixCache::Place place;
};

class PrefixCacheTest : public testing::Test {
 protected:
  void make(const std::vector<Retention>& groups, int64_t cache_tokens) {
    model_ = std::make_unique<FakeModel>(groups, 100000);
    pools_ = std::make_unique<CachePools>(*model_, cache_tokens, 4, 512, 8);
    prefixes_ = std::make_unique<PrefixCache>(*pools_);
  }
  void TearDown() override {
    prefixes_.reset();
    for (int g = 0; pools_ && g < pools_->groups(); g++) EXPECT_EQ(pools_->group(g).available(), pools_->group(g).size());
  }
  std::unique_ptr<Life> live(const std::vector<int32_t>& tokens, std::string_view salt = "", std::vector<int64_t> states = {},
                             int64_t chunk = 512) {
    auto life = std::make_unique<Life>(*pools_);
    hit_ = prefixes_->adopt(salt, tokens, life->cache, life->place);
    for (int64_t end = hit_.tokens; end < static_cast<int64_t>(tokens.size());) {
      end = std::min(end + chunk, static_cast<int64_t>(tokens.size()));
      for (int64_t border : states)
        if (border > life->cache.length() && border < end) life->cache.keep(border);
      EXPECT_TRUE(life->cache.reserve(end));
      life->cache.begin_step(life->cache.length(), end);
      prefixes_->add(life->place, life->cache, tokens, end, states, false);
      for (int64_t border : states) life->cache.forget(border);
      life->cache.end_step(end);
    }
    return life;
  }
  PrefixCache::Hit find(const std::vector<int32_t>& tokens, std::string_view salt = "") { return prefixes_->find(salt, tokens); }

  std::unique_ptr<FakeModel> model_;
  std::unique_ptr<CachePools> pools_;
  std::unique_ptr<PrefixCache> prefixes_;
  PrefixCache::Hit hit_;
};

TEST_F(PrefixCacheTest, FindsWholeBlocksBeforeTheLastToken) {
  make({full}, 1000);
  const auto tokens = tokens_of(100, 1);
  EXPECT_EQ(find(tokens).limit, CacheLimit::Unseen);
  const auto life = live(tokens);
  EXPECT_EQ(find(tokens).tokens, 96);
  EXPECT_EQ(find(tokens).limit, CacheLimit::Whole);
  EXPECT_EQ(find({tokens.begin(), tokens.begin() + 96}).tokens, 80) << "the last token is computed";
  EXPECT_EQ(find({tokens.begin(), tokens.begin() + 97}).tokens, 96);
  EXPECT_EQ(find({tokens.begin(), tokens.begin() + 16}).tokens, 0);
  auto other = tokens;
  other[40] = (other[40] + 1) % 50;
  EXPECT_EQ(find(other).tokens, 32);
  EXPECT_EQ(find(other).limit, CacheLimit::Unseen);
}

TEST_F(PrefixCacheTest, SharesTheBlocksOfSequencesThatRun) {
  make({full}, 1000);
  const auto tokens = tokens_of(100, 1);
  const auto a = live(tokens);
  const int64_t before = pools_->group(0).available();
  const auto b = live(tokens);
  EXPECT_EQ(hit_.tokens, 96);
  EXPECT_EQ(pools_->group(0).available(), before - 1);
  for (size_t i = 0; i < 6; i++) EXPECT_EQ(a->cache.table(0)[i], b->cache.table(0)[i]);
  EXPECT_NE(a->cache.table(0)[6], b->cache.table(0)[6]) << "an unfinished block is its sequence's";
}

TEST_F(PrefixCacheTest, SequencesThatComputedTheSameKeepOneOfThem) {
  make({full}, 1000);
  const auto tokens = tokens_of(64, 1);
  Life a(*pools_), b(*pools_);
  for (Life* life : {&a, &b}) prefixes_->adopt("", tokens, life->cache, life->place);
  for (Life* life : {&a, &b}) {
    ASSERT_TRUE(life->cache.reserve(64));
    life->cache.begin_step(0, 64);
  }
  for (Life* life : {&a, &b}) {
    prefixes_->add(life->place, life->cache, tokens, 64, {}, false);
    life->cache.end_step(64);
  }
  EXPECT_EQ(a.cache.table(0), b.cache.table(0));
  EXPECT_EQ(pools_->group(0).size() - pools_->group(0).available(), 4);
}

TEST_F(PrefixCacheTest, TenantsNeverShare) {
  make({full}, 1000);
  const auto tokens = tokens_of(100, 1);
  const auto life = live(tokens, "alice");
  EXPECT_EQ(find(tokens, "alice").tokens, 96);
  for (const char* other : {"", "bob", "alic", "alicee"}) {
    EXPECT_EQ(find(tokens, other).tokens, 0) << other;
    EXPECT_EQ(find(tokens, other).limit, CacheLimit::Unseen) << "nor does anyone learn that it was there";
  }
}

TEST_F(PrefixCacheTest, EvictsTheLongestUnusedFromTheEndsOfPrefixes) {
  make({full}, 16 * 16);  // 20 blocks
  ASSERT_EQ(pools_->group(0).size(), 20);
  const auto a = tokens_of(96, 1), b = tokens_of(96, 2), c = tokens_of(96, 3), more = tokens_of(64, 4);
  for (const auto* t : {&a, &b, &c}) live(*t);
  EXPECT_EQ(pools_->group(0).available(), 20) << "what nobody holds can be had";
  live(a);  // used again: b is the oldest now; of the 20, 18 are cached
  const auto first = live(more);
  EXPECT_EQ(find(b).tokens, 64) << "two blocks were missing: those of b's end went";
  EXPECT_EQ(find(b).limit, CacheLimit::Evicted);
  EXPECT_EQ(find(a).tokens, 80);
  EXPECT_EQ(find(c).tokens, 80);
  const auto second = live(tokens_of(96, 5));
  EXPECT_EQ(find(b).tokens, 0);
  EXPECT_EQ(find(c).tokens, 64);
  EXPECT_EQ(find(a).tokens, 80);
}

TEST_F(PrefixCacheTest, NeverTakesABlockThatASequenceHolds) {
  make({full}, 160);  // 14 blocks
  const auto held = live(tokens_of(96, 1));
  const auto table = held->cache.table(0);
  Life other(*pools_);
  EXPECT_FALSE(other.cache.reserve(16 * 9));
  EXPECT_TRUE(other.cache.reserve(16 * 8));
  EXPECT_EQ(held->cache.table(0), table);
  EXPECT_EQ(find(tokens_of(96, 1)).tokens, 80);
}

TEST_F(PrefixCacheTest, WindowedBlocksSurviveTheWindowWhileThereIsRoom) {
  make({full, window(40)}, 2000);
  const auto tokens = tokens_of(320, 1);
  const auto life = live(tokens, "", {}, 64);
  auto early = tokens;
  early.resize(100);
  EXPECT_EQ(find(early).tokens, 96) << "long passed by the window";
  EXPECT_EQ(find(tokens).tokens, 304);
  // Take back everything that only the cache holds in the windowed group.
  while (pools_->group(1).reclaim_oldest()) {}
  EXPECT_EQ(find(early).tokens, 0);
  EXPECT_EQ(find(early).limit, CacheLimit::Evicted);
  auto longer = tokens;
  longer.push_back(1);
  EXPECT_EQ(find(longer).tokens, 320) << "what the sequence still reads is there";
}

TEST_F(PrefixCacheTest, RecurrentStatesAreFoundWhereTheyWereKept) {
  make({full, recurrent}, 2000);
  const auto tokens = tokens_of(200, 1);
  live(tokens, "", {64, 160});
  EXPECT_EQ(find(tokens).tokens, 160);
  EXPECT_EQ(find(tokens).known, 192);
  EXPECT_EQ(find(tokens).limit, CacheLimit::StateNotKept);
  auto other = tokens;
  other[100]++;
  EXPECT_EQ(find(other).tokens, 64);
  EXPECT_EQ(find(other).known, 96);
  live(other, "", {96});
  EXPECT_EQ(find(other).tokens, 96);
}

TEST_F(PrefixCacheTest, APassingStateFollowsTheOutput) {
  make({full, recurrent}, 2000);
  const auto tokens = tokens_of(200, 1);
  auto life = live({tokens.begin(), tokens.begin() + 100}, "", {96});
  const int64_t before = pools_->group(1).available();
  for (int64_t i = 100; i < 200; i++) {
    ASSERT_TRUE(life->cache.reserve(i + 1));
    life->cache.begin_step(i, i + 1);
    const std::vector<int64_t> border{i + 1};
    prefixes_->add(life->place, life->cache, tokens, i + 1, (i + 1) % 16 ? std::span<const int64_t>() : border, true);
    life->cache.end_step(i + 1);
  }
  EXPECT_EQ(find(tokens).tokens, 192);
  EXPECT_EQ(find({tokens.begin(), tokens.begin() + 150}).tokens, 96) << "only the last state of the output is kept";
  life.reset();
  EXPECT_GE(pools_->group(1).available(), before);
}

TEST_F(PrefixCacheTest, DistrustedBlocksAreForgotten) {
  make({full, recurrent}, 2000);
  const auto tokens = tokens_of(100, 1);
  auto life = live(tokens, "", {96});
  prefixes_->distrust(life->place, 0);
  EXPECT_EQ(find(tokens).tokens, 0);
  life.reset();
  EXPECT_EQ(prefixes_->nodes(), 0);
  live(tokens, "", {96});
  EXPECT_EQ(find(tokens).tokens, 96) << "the next one may be right";
}

TEST_F(PrefixCacheTest, NodesWithoutBlocksAreBounded) {
  make({window(16)}, 400);
  for (int32_t i = 0; i < 200; i++) live(tokens_of(320, i), "", {}, 64);
  EXPECT_LE(prefixes_->nodes(), 4 * pools_->group(0).size() + 1024);
}

TEST_F(PrefixCacheTest, ABegunBlockIsTakenOverOnce) {
  for (const auto& groups : std::vector<std::vector<Retention>>{{full}, {window(40)}, {recurrent}, {full, window(20), recurrent}}) {
    make(groups, 1000);
    auto tokens = tokens_of(100, 1);
    const auto leave = [&](const std::vector<int32_t>& ids) {
      auto life = live(ids);
      prefixes_->add_last(life->place, life->cache, ids);
    };
    leave(tokens);
    EXPECT_EQ(live(tokens, "other")->cache.length(), 100);
    EXPECT_EQ(hit_.tokens, 0) << "of another salt";
    auto longer = tokens;
    longer.push_back(7);
    auto shorter = tokens;
    shorter.resize(99);
    const bool attention = groups[0].kind != Retention::Kind::Recurrent && groups.size() == 1;
    { const auto one = live(shorter); }
    EXPECT_EQ(hit_.tokens, attention ? 96 : 0) << "the block goes on behind its last token, not before";
    auto first = live(longer);
    EXPECT_EQ(hit_.tokens, 100);
    EXPECT_EQ(hit_.limit, CacheLimit::Whole);
    {
      const auto second = live(longer);
      EXPECT_EQ(hit_.tokens, attention ? 96 : 0) << "the first one writes into it";
      prefixes_->add_last(second->place, second->cache, longer);
    }
    auto other = longer;
    other.push_back(8);
    auto third = live(other);
    EXPECT_EQ(hit_.tokens, 101);
    first.reset();
    third.reset();
    prefixes_.reset();
  }
}

TEST_F(PrefixCacheTest, ABegunBlockGoesBeforeWhatLeadsToIt) {
  make({full}, 256);  // 20 blocks
  const auto tokens = tokens_of(100, 1);
  {
    auto life = live(tokens);
    prefixes_->add_last(life->place, life->cache, tokens);
  }
  const int64_t before = prefixes_->nodes();
  std::vector<int32_t> taken;
  while (prefixes_->nodes() == before) taken.push_back(*pools_->group(0).take());
  EXPECT_EQ(static_cast<int64_t>(taken.size()), pools_->group(0).size() - 7 + 1) << "free ones first";
  for (int32_t block : taken) pools_->group(0).release(block);
  auto longer = tokens;
  longer.push_back(7);
  EXPECT_EQ(live(longer)->cache.length(), 101);
  EXPECT_EQ(hit_.tokens, 96);
}

}  // namespace
}  // namespace infernum
