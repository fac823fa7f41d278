// ThreadPool: every thread runs once per job, whatever sleeps, waits or throws, also with more threads than processors.
#include "backends/cpu/thread_pool.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <chrono>

#include "backends/cpu/queue.h"
#include "core/check.h"

namespace infernum {
namespace {

TEST(ThreadPool, RunsEveryThreadOnceThroughSpinAndPark) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    std::vector<std::atomic<int>> count(static_cast<size_t>(threads));
    for (int round = 0; round < 200; round++) {
      if (round % 50 == 49) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // long enough to park
      pool.run([&](int t) { count[static_cast<size_t>(t)]++; });
      for (auto& c : count) ASSERT_EQ(c.load(), round + 1);
    }
  }
}

// Pauses around the time a worker spins before it parks hit the moments between its last look, its parking and its waiting. The counts
// are plain integers: a job that starts early, late or twice is a race that ThreadSanitizer reports as well.
TEST(ThreadPool, LosesNoJobWhenWorkersAreAboutToPark) {
  const int threads = 2 * available_threads() + 3;
  ThreadPool pool(threads);
  std::vector<int> count(static_cast<size_t>(threads));
  int64_t rounds = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(400);
  for (uint32_t random = 1; std::chrono::steady_clock::now() < end; rounds++) {
    random = random * 1664525 + 1013904223;
    const auto pause = std::chrono::steady_clock::now() + std::chrono::nanoseconds(random >> 16) * 3;  // 0 to 200 us
    while (std::chrono::steady_clock::now() < pause) continue;
    pool.run([&](int t) { count[static_cast<size_t>(t)]++; });
    for (int c : count) ASSERT_EQ(c, rounds + 1);
  }
}

// Both kinds of job in random order on more threads than processors, with pauses before, within and after, and now and then a throw. The
// values are plain integers: an item taken twice, a call that outlives its job or one that joins the next is a race for ThreadSanitizer.
TEST(ThreadPool, SharesEveryItemOnceUnderOversubscription) {
  const int threads = 2 * available_threads() + 3;
  ThreadPool pool(threads);
  std::vector<int> hits(100);
  std::vector<int> last_call(static_cast<size_t>(threads));
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(600);
  uint32_t random = 1;
  const auto sleep = [](uint32_t r) { std::this_thread::sleep_for(std::chrono::microseconds(r % 8 == 0 ? r % 100 : 0)); };
  for (int round = 1; std::chrono::steady_clock::now() < end; round++) {
    random = random * 1664525 + 1013904223;
    const uint32_t bits = random >> 8;
    const int items = static_cast<int>(bits % hits.size()), thrower = bits % 16 == 3 ? items / 2 : -1;
    std::fill(hits.begin(), hits.end(), 0);
    std::atomic<int> next{0}, calls{0};
    const auto work = [&](int thread) {
      calls++;
      ASSERT_LT(last_call[static_cast<size_t>(thread)], round) << "one call per thread and job";
      last_call[static_cast<size_t>(thread)] = round;
      for (int i; (i = next.fetch_add(1, std::memory_order_relaxed)) < items;) {
        hits[static_cast<size_t>(i)]++;
        if (i == thrower) fail("item", i);
        sleep(bits + static_cast<uint32_t>(i * 37));
      }
    };
    const bool everyone = bits / 16 % 4 == 0;
    bool threw = false;
    try {
      everyone ? pool.run(work) : pool.share(work);
    } catch (const Error&) {
      threw = true;
    }
    ASSERT_EQ(threw, thrower >= 0 && thrower < items);
    ASSERT_EQ(last_call[0], round) << "the caller always takes part";
    if (everyone) {
      ASSERT_EQ(calls, threads);
    }
    for (int i = 0; i < items; i++)
      if (!threw || i <= thrower) {
        ASSERT_EQ(hits[static_cast<size_t>(i)], 1);
      }
    sleep(bits >> 3);
  }
}

// All threads on one processor: the caller finishes shared work without waiting for those that have not begun.
TEST(ThreadPool, DoesNotWaitForWorkersThatHaveNotBegun) {
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one);
  for (size_t cpu = 0; CPU_COUNT(&one) == 0; cpu++)
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  const int threads = 64;
  int fewest = threads;
  {
    ThreadPool pool(threads);  // its workers inherit the mask
    for (int round = 0; round < 1000; round++) {
      std::atomic<int> next{0}, done{0}, calls{0};
      pool.share([&](int) {
        calls++;
        while (next.fetch_add(1) < 8) done++;
      });
      EXPECT_EQ(done, 8);
      fewest = std::min(fewest, calls.load());
    }
  }
  EXPECT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
  EXPECT_LT(fewest, threads / 2);
}

TEST(ThreadPool, EndsWhileItsWorkersSpinOrPark) {
  for (int round = 0; round < 60; round++) {
    ThreadPool pool(4);
    std::atomic<int> calls{0};
    if (round % 3 > 0) pool.run([&](int) { calls++; });
    if (round % 3 > 1) std::this_thread::sleep_for(std::chrono::microseconds(40 * round));
    EXPECT_EQ(calls, round % 3 > 0 ? 4 : 0);
  }
}

TEST(ThreadPool, RethrowsWhatACallThrowsOnceAllAreDone) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (int thrower = 0; thrower < threads; thrower++) {
      std::vector<int> done(static_cast<size_t>(threads));
      try {
        pool.run([&](int t) {
          if (t == thrower) fail("no memory on thread", t);
          std::this_thread::sleep_for(std::chrono::microseconds(300));  // the others still run when one has thrown
          done[static_cast<size_t>(t)] = 1;
        });
        ADD_FAILURE() << "nothing was thrown";
      } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("no memory on thread: " + std::to_string(thrower)), std::string::npos) << e.what();
      }
      for (int t = 0; t < threads; t++) EXPECT_EQ(done[static_cast<size_t>(t)], t == thrower ? 0 : 1);
    }
    EXPECT_THROW(pool.run([](int) { fail("all at once"); }), Error);
    std::atomic<int> calls{0};
    pool.run([&](int) { calls++; });
    EXPECT_EQ(calls, threads) << "the team stays usable and no old error comes back";
  }
}

TEST(Queue, ParallelForCoversTheRangeOnce) {
  Queue<Cpu> queue(3, Isa::Portable);
  for (int64_t n : {0, 1, 7, 64, 1000}) {
    std::vector<std::atomic<int>> hits(static_cast<size_t>(n));
    queue.parallel_for(n, 9, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) hits[static_cast<size_t>(i)]++;
    });
    for (auto& h : hits) ASSERT_EQ(h.load(), 1);
  }
}

TEST(Queue, ComputesWithoutSubnormalsAndRestoresTheCaller) {
#if defined(__x86_64__)
  const volatile float tiny = 1e-39f;
  for (int threads : {1, 3}) {
    Queue<Cpu> queue(threads, Isa::Portable);
    queue.pool.run([&](int) { EXPECT_EQ(tiny * 1.f, 0.f); });
    queue.parallel_for(5, 1, [&](int64_t, int64_t) { EXPECT_EQ(tiny * 1.f, 0.f); });
    EXPECT_GT(tiny * 1.f, 0.f);
  }
#endif
}

TEST(Scratch, GrowsAndStaysAligned) {
  Scratch scratch;
  for (std::size_t bytes : {1, 1000, 100, 100000}) {
    std::byte* p = scratch.get(bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % Scratch::alignment, 0u);
    std::fill_n(p, bytes, std::byte{1});  // the sanitizers check the size
  }
  Carver sizes(nullptr);
  sizes.take<char>(1);
  sizes.take<float>(17);
  EXPECT_EQ(sizes.bytes(), 64u + 128u);
}

}  // namespace
}  // namespace infernum
