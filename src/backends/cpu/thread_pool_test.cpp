#include "backends/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>

#include "backends/cpu/queue.h"

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
