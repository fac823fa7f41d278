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
// Every microsecond or two the spinner offers its processor to others: with more threads than processors one of them has the work.
constexpr int spins_before_yielding = 64;

constexpr uint64_t gate_open = uint64_t{1} << 31;
constexpr uint32_t job_of(uint64_t gate) { return static_cast<uint32_t>(gate >> 32); }
constexpr uint32_t joined(uint64_t gate) { return static_cast<uint32_t>(gate & (gate_open - 1)); }

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

void pause_or_yield(int spins) {
  if (spins % spins_before_yielding == spins_before_yielding - 1)
    std::this_thread::yield();
  else
    pause();
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

void ThreadPool::start(Job job, const void* context, bool everyone) {
  const FlushDenormals flush;
  if (workers_.empty()) return job(context, 0);
  job_ = job;
  context_ = context;
  finished_.store(0, std::memory_order_relaxed);
  const uint64_t next = epoch_.load(std::memory_order_relaxed) + uint32_t{1};
  gate_.store(next << 32 | gate_open, std::memory_order_release);
  epoch_.fetch_add(1);  // sequentially consistent against parked_: either the worker sees the new epoch or we see it parked
  if (parked_.load() > 0) epoch_.notify_all();
  call(0);
  // Who has not joined by now would find nothing left to do. Those that have are waited for.
  const auto all = static_cast<uint32_t>(workers_.size());
  const uint32_t helpers = everyone ? all : joined(gate_.fetch_and(~gate_open, std::memory_order_relaxed));
  for (int spins = 0; finished_.load(std::memory_order_acquire) != helpers; spins++) pause_or_yield(spins);
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

/// Whether this worker is now part of a job after `seen`, which becomes that job, or the closed one that it missed.
bool ThreadPool::join_job(uint32_t& seen) {
  uint64_t gate = gate_.load(std::memory_order_relaxed);
  while (job_of(gate) != seen && (gate & gate_open))
    if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acquire, std::memory_order_relaxed)) {
      seen = job_of(gate);
      return true;
    }
  seen = job_of(gate);
  return false;
}

void ThreadPool::work(int thread) {
  const FlushDenormals flush;
  uint32_t seen = 0;
  bool in_time = true;  // who came too late has no processor of its own, and should not spin on that of another
  while (!stop_) {
    for (int spins = in_time ? 0 : spins_before_parking; job_of(gate_.load(std::memory_order_relaxed)) == seen && !stop_; spins++) {
      pause_or_yield(spins);
      if (spins < spins_before_parking) continue;
      parked_.fetch_add(1);
      epoch_.wait(seen);
      parked_.fetch_sub(1);
    }
    in_time = join_job(seen);
    if (!in_time) continue;
    call(thread);
    finished_.fetch_add(1, std::memory_order_release);
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
