#include "backends/cpu/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <utility>

#include "backends/cpu/denormals.h"
#include "core/check.h"

namespace infernum {
namespace {

// About 50 us of spinning: longer than the serial stretch between two ops of a step, far shorter than a pause between requests.
constexpr int spins_before_parking = 2000;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  check(threads >= 1 && threads <= 1024, "thread pool: 1 to 1024 threads", threads);
  workers_.reserve(static_cast<size_t>(threads - 1));
  try {
    for (int t = 1; t < threads; t++) workers_.emplace_back([this, t] { work(t); });
  } catch (const std::exception& e) {  // most likely the limit of the user or the container
    stop();
    fail("thread pool: the system starts no more threads", e.what(), "started", workers_.size(), "wanted", threads - 1);
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() noexcept {
  stop_ = true;
  epoch_.fetch_add(1);
  epoch_.notify_all();
  for (auto& w : workers_) w.join();
}

void ThreadPool::start(Job job, const void* context) {
  const FlushDenormals flush;
  if (workers_.empty()) return job(context, 0);
  job_ = job;
  context_ = context;
  running_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  epoch_.fetch_add(1);  // sequentially consistent against parked_: either the worker sees the new epoch or we see it parked
  if (parked_.load() > 0) epoch_.notify_all();
  call(0);
  for (int spins = 0; running_.load(std::memory_order_acquire) > 0; spins++) {
    pause();
    if (spins > spins_before_parking) std::this_thread::yield();  // more threads than processors: let them run
  }
  if (failed_.load(std::memory_order_relaxed)) {
    failed_.store(false, std::memory_order_relaxed);
    std::rethrow_exception(std::exchange(error_, nullptr));
  }
}

void ThreadPool::call(int thread) noexcept {
  try {
    job_(context_, thread);
  } catch (...) {
    if (!failed_.exchange(true, std::memory_order_relaxed)) error_ = std::current_exception();
  }
}

void ThreadPool::work(int thread) {
  const FlushDenormals flush;
  uint32_t seen = 0;
  while (true) {
    for (int spins = 0; epoch_.load(std::memory_order_acquire) == seen; spins++) {
      pause();
      if (spins < spins_before_parking) continue;
      parked_.fetch_add(1);
      epoch_.wait(seen);
      parked_.fetch_sub(1);
    }
    seen++;
    if (stop_) return;
    call(thread);
    running_.fetch_sub(1, std::memory_order_release);
  }
}

int available_threads() {
  int count = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof mask, &mask) == 0) count = std::min(count, CPU_COUNT(&mask));
  std::ifstream quota("/sys/fs/cgroup/cpu.max");
  std::string limit;
  double period = 0;
  if (quota >> limit >> period && limit != "max" && period > 0)
    count = std::min(count, std::max(1, static_cast<int>(std::ceil(std::stod(limit) / period))));
  return count;
}

}  // namespace infernum
