// ThreadPool: a fixed team that runs one function on every thread, or on those that are free; workers spin briefly between jobs, then park.
#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

namespace infernum {

class ThreadPool {
 public:
  /// threads >= 1, the caller included.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls f(thread) for thread = 0..size()-1, thread 0 on the caller; returns when all are done. Not reentrant.
  /// When calls throw, the first exception is rethrown here once all are done, and the team stays usable.
  /// Subnormal floats count as zero in f (denormals.h).
  template <class F>
  void run(const F& f) {
    start(call_of<F>, &f, true);
  }

  /// Calls f(0) here and f(thread) on each worker that gets a processor before f(0) has returned; otherwise like run(). For work that all
  /// take from one counter, so that f(0) alone finishes it: with fewer processors than threads nobody waits for one that only comes to
  /// find that nothing is left.
  template <class F>
  void share(const F& f) {
    start(call_of<F>, &f, false);
  }

 private:
  using Job = void (*)(const void*, int);
  template <class F>
  static void call_of(const void* job, int thread) {
    (*static_cast<const F*>(job))(thread);
  }
  void start(Job job, const void* context, bool everyone);
  bool join_job(uint32_t& seen);
  void work(int thread);
  void call(int thread) noexcept;
  void stop() noexcept;

  std::vector<std::thread> workers_;
  Job job_ = nullptr;
  const void* context_ = nullptr;
  std::exception_ptr error_;  // written by the call that set failed_, read when all calls are done
  // The number of the job in the high half, then whether workers may still join, then how many have: one word, so that no worker joins a
  // job that has just been closed.
  alignas(64) std::atomic<uint64_t> gate_{0};
  std::atomic<uint32_t> epoch_{0};  // the number of the job once more, to park on
  alignas(64) std::atomic<uint32_t> finished_{0};
  std::atomic<int> parked_{0};
  std::atomic<bool> stop_{false};
  std::atomic<bool> failed_{false};
};

/// Processors this process may use: affinity mask and cgroup quota considered.
int available_threads();

}  // namespace infernum
