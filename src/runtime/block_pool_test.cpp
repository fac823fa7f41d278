// BlockPool: random sequences of take, share and release against a plain account of who owns what.
#include "runtime/block_pool.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "core/check.h"

namespace infernum {
namespace {

TEST(BlockPool, HandsOutEveryBlockOnceLowestFirst) {
  BlockPool pool(3);
  EXPECT_EQ(pool.size(), 3);
  EXPECT_EQ(pool.take(), 0);
  EXPECT_EQ(pool.take(), 1);
  EXPECT_EQ(pool.take(), 2);
  EXPECT_EQ(pool.take(), std::nullopt);
  EXPECT_EQ(pool.available(), 0);
  pool.release(1);
  EXPECT_EQ(pool.take(), 1);
}

TEST(BlockPool, RandomOwnersNeverMeet) {
  for (unsigned seed = 0; seed < 20; seed++) {
    std::mt19937 rng(seed);
    BlockPool pool(static_cast<int64_t>(seed * 3));
    std::map<int32_t, int> owners;
    for (int step = 0; step < 2000; step++) {
      const auto any = [&] { return std::next(owners.begin(), static_cast<std::ptrdiff_t>(rng() % owners.size())); };
      switch (rng() % 3) {
        case 0: {
          const auto block = pool.take();
          ASSERT_EQ(block.has_value(), owners.size() < static_cast<size_t>(pool.size()));
          if (block) {
            ASSERT_TRUE(*block >= 0 && *block < pool.size());
            ASSERT_TRUE(owners.emplace(*block, 1).second) << "block " << *block << " has an owner";
          }
          break;
        }
        case 1:
          if (!owners.empty()) {
            const auto it = any();
            pool.share(it->first);
            it->second++;
          }
          break;
        default:
          if (!owners.empty()) {
            const auto it = any();
            pool.release(it->first);
            if (--it->second == 0) owners.erase(it);
          }
      }
      ASSERT_EQ(pool.available() + static_cast<int64_t>(owners.size()), pool.size());
      for (const auto& [block, count] : owners) ASSERT_EQ(pool.references(block), count);
    }
  }
}

TEST(BlockPool, RefusesBlocksThatAreNotInUse) {
  BlockPool pool(2);
  EXPECT_THROW(pool.release(0), Error);
  EXPECT_THROW(pool.share(1), Error);
  const auto block = *pool.take();
  pool.release(block);
  EXPECT_THROW(pool.release(block), Error) << "a second release";
  EXPECT_THROW(pool.release(-1), Error);
  EXPECT_THROW(pool.share(2), Error);
  EXPECT_THROW(BlockPool(-1), Error);
  EXPECT_EQ(pool.available(), 2);
}

}  // namespace
}  // namespace infernum
