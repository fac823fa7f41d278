// RankGroup: every rank sees every rank's pointer, round after round, and nobody runs ahead.
#include "backends/cpu/rank_group.h"

#include <gtest/gtest.h>

#include <thread>

#include "backends/cpu/isa.h"
#include "backends/cpu/queue.h"
#include "core/check.h"

namespace infernum {
namespace {

TEST(RankGroup, ExchangesPointersInTheOrderOfTheRanks) {
  for (int ranks : {1, 2, 3, 5}) {
    RankGroup group(ranks);
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int r = 0; r < ranks; r++)
      threads.emplace_back([&, r] {
        for (int round = 0; round < 300; round++) {
          const int mine = round * 100 + r;  // on this thread's stack: valid only if nobody leaves before all have read it
          group.exchange(r, &mine, [&](const std::vector<const void*>& slots) {
            wrong += static_cast<int>(slots.size()) != ranks;
            for (int p = 0; p < ranks; p++) wrong += *static_cast<const int*>(slots[static_cast<size_t>(p)]) != round * 100 + p;
          });
        }
      });
    for (auto& t : threads) t.join();
    EXPECT_EQ(wrong, 0) << ranks << " ranks";
  }
}

TEST(Isa, NamesAreReadBackAndOthersRefused) {
  for (Isa isa : {Isa::Portable, Isa::Avx2, Isa::Avx512}) {
    if (isa <= best_isa())
      EXPECT_EQ(parse_isa(describe(isa)), isa);
    else
      EXPECT_THROW(parse_isa(describe(isa)), Error);
  }
  try {
    parse_isa("sse9");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("one of portable, avx2, avx512: sse9"), std::string::npos) << e.what();
  }
}

TEST(RankGroup, ARankThatFailsReleasesTheOthers) {
  for (int round = 0; round < 50; round++) {
    RankGroup group(3);
    std::atomic<int> failed{0}, wrong{0};
    std::vector<std::thread> threads;
    for (int r = 0; r < 3; r++)
      threads.emplace_back([&, r] {
        try {
          for (int step = 0; step < 10; step++) {
            if (r == 1 && step == round % 10 && round % 2 == 0) fail("between two exchanges");
            const int mine = step;
            group.exchange(r, &mine, [&](const std::vector<const void*>& slots) {
              if (r == 1 && step == round % 10) fail("inside an exchange");
              for (const void* p : slots) wrong += *static_cast<const int*>(p) != step;  // also of the rank that just failed
            });
          }
        } catch (const Error& e) {
          group.leave(std::current_exception());
          failed += std::string(e.what()).find(round % 2 == 0 ? "between two exchanges" : "inside an exchange") != std::string::npos;
        }
      });
    for (auto& t : threads) t.join();
    EXPECT_EQ(failed, 3) << "all ranks get the error of the one";
    EXPECT_EQ(wrong, 0);
  }
}

TEST(Queue, AnErrorOfTheBodyReachesTheCaller) {
  for (int threads : {1, 3}) {
    Queue<Cpu> queue(threads, Isa::Portable);
    EXPECT_THROW(queue.parallel_for(100, 1, [&](int64_t begin, int64_t) { check(begin != threads / 2 * 50, "body"); }), Error);
    std::atomic<int64_t> covered{0};
    queue.parallel_for(100, 7, [&](int64_t begin, int64_t end) { covered += end - begin; });
    EXPECT_EQ(covered, 100) << "the queue stays usable";
  }
}

TEST(Queue, ScratchGrowsAndIsAligned) {
  Scratch scratch;
  std::byte* first = scratch.get(10);
  EXPECT_EQ(scratch.get(5), first) << "no smaller buffer is made";
  std::byte* large = scratch.get(1 << 20);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(large) % Scratch::alignment, 0u);
  Carver sizes(nullptr);
  EXPECT_EQ(sizes.take<float>(3), nullptr);
  EXPECT_EQ(sizes.take<char>(65), nullptr);
  EXPECT_EQ(sizes.bytes(), 64u + 128u);
  Carver carver(large);
  EXPECT_EQ(static_cast<void*>(carver.take<float>(3)), large);
  EXPECT_EQ(static_cast<void*>(carver.take<char>(65)), large + 64);
}

}  // namespace
}  // namespace infernum
