// MemoryPool: buffers return and are used again, bounded waste, and safety of what outlives the pool.
#include "backends/memory_pool.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>

#include "core/device_error.h"

namespace infernum {
namespace {

TEST(MemoryPool, ReusesWhatCameBack) {
  MemoryPool pool;
  EXPECT_EQ(pool.bytes_reserved(), 0);
  void* first;
  {
    const auto a = pool.allocate(1000);
    first = a.get();
  }
  const int64_t reserved = pool.bytes_reserved();
  const auto b = pool.allocate(1001);
  EXPECT_EQ(b.get(), first) << "sizes of one class share";
  EXPECT_EQ(pool.bytes_reserved(), reserved);
  const auto c = pool.allocate(1000);
  EXPECT_NE(c.get(), first) << "a buffer in use is not handed out again";
  EXPECT_GT(pool.bytes_reserved(), reserved);
}

TEST(MemoryPool, WastesAtMostAQuarterAndAligns) {
  for (int64_t bytes : {0, 1, 63, 255, 256, 257, 320, 321, 1000, 4097, 65537, 1000003}) {
    MemoryPool pool;
    const auto p = pool.allocate(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p.get()) % 64, 0u);
    std::memset(p.get(), 1, static_cast<size_t>(bytes));
    EXPECT_GE(pool.bytes_reserved(), bytes);
    EXPECT_LE(pool.bytes_reserved(), std::max<int64_t>(256, bytes + bytes / 4)) << bytes;
  }
}

TEST(MemoryPool, AStepAfterAnotherReservesNothingNew) {
  MemoryPool pool;
  std::mt19937 rng(3);
  std::vector<int64_t> sizes(40);
  for (auto& s : sizes) s = static_cast<int64_t>(rng() % 100000);
  const auto step = [&] {
    std::vector<std::shared_ptr<void>> live;
    for (size_t i = 0; i < sizes.size(); i++) {
      live.push_back(pool.allocate(sizes[i]));
      if (i % 3 == 2) live.erase(live.begin());
    }
  };
  step();
  const int64_t after_one = pool.bytes_reserved();
  for (int i = 0; i < 5; i++) step();
  EXPECT_EQ(pool.bytes_reserved(), after_one);
}

TEST(MemoryPool, BuffersOutliveThePool) {
  std::shared_ptr<void> kept;
  {
    MemoryPool pool;
    kept = pool.allocate(500);
    pool.allocate(700);
  }
  std::memset(kept.get(), 7, 500);
  EXPECT_EQ(static_cast<char*>(kept.get())[499], 7);
}

TEST(MemoryPool, TakesBackFromOtherThreads) {
  MemoryPool pool;
  auto mine = pool.allocate(4096);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++)
    threads.emplace_back([&pool, t] {
      for (int i = 0; i < 500; i++) {
        const auto p = pool.allocate(256 << (i % 4));
        std::memset(p.get(), t, 256);
        for (int b = 0; b < 256; b++) ASSERT_EQ(static_cast<char*>(p.get())[b], t) << "two threads hold one buffer";
      }
    });
  for (auto& t : threads) t.join();
  std::thread([last = std::move(mine)] {}).join();
  EXPECT_GT(pool.bytes_reserved(), 0);
}

TEST(MemoryPool, SaysWhoseMemoryIsShort) {
  const MemorySource small{[](size_t bytes) -> void* { return bytes > 5000 ? nullptr : std::aligned_alloc(64, (bytes + 63) / 64 * 64); },
                           [](void* memory) { std::free(memory); }};
  MemoryPool pool(small);
  EXPECT_THROW(pool.allocate(6000), OutOfMemory);
  EXPECT_NE(pool.allocate(2000), nullptr);
  MemoryPool empty({[](size_t) -> void* { throw OutOfMemory("none on the device X"); }, [](void*) {}});
  try {
    empty.allocate(300);
    FAIL();
  } catch (const OutOfMemory& e) {
    EXPECT_STREQ(e.what(), "none on the device X");
  }
}

TEST(MemoryPool, WhatALargerStepLeftIsUsedWhereMemoryIsShort) {
  static int left;  // buffers that the source still has; its functions capture nothing
  left = 3;
  MemoryPool pool({[](size_t bytes) -> void* { return left-- > 0 ? std::aligned_alloc(64, (bytes + 63) / 64 * 64) : nullptr; },
                   [](void* memory) { std::free(memory); }});
  void *medium, *large;
  {
    const auto a = pool.allocate(1000), b = pool.allocate(8000), c = pool.allocate(100000);
    medium = b.get(), large = c.get();
  }
  const int64_t reserved = pool.bytes_reserved();
  const auto first = pool.allocate(3000), second = pool.allocate(3000);
  EXPECT_EQ(first.get(), medium);
  EXPECT_EQ(second.get(), large);
  EXPECT_THROW(pool.allocate(3000), OutOfMemory) << "what is left is too small";
  EXPECT_NE(pool.allocate(900), nullptr);
  EXPECT_EQ(pool.bytes_reserved(), reserved);
}

TEST(MemoryPool, RefusesANegativeSize) {
  MemoryPool pool;
  try {
    pool.allocate(-8);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("-8"), std::string::npos);
  }
}

}  // namespace
}  // namespace infernum
