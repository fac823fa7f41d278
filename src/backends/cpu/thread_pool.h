// ThreadPool: a fixed team that runs one function on every thread; workers spin briefly between jobs, then park.
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
    start([](const void* job, int thread) { (*static_cast<const F*>(job))(thread); }, &f);
  }

 private:
  using Job = void (*)(const void*, int);
  void start(Job job, const void* context);
  void work(int thread);
  void call(int thread) noexcept;
  void stop() noexcept;

  std::vector<std::thread> workers_;
  Job job_ = nullptr;
  const void* context_ = nullptr;
  std::exception_ptr error_;  // written by the call that set failed_, read when all calls are done
  alignas(64) std::atomic<uint32_t> epoch_{0};
  alignas(64) std::atomic<int> running_{0};
  std::atomic<int> parked_{0};
  std::atomic<bool> stop_{false};
  std::atomic<bool> failed_{false};
};

/// Processors this process may use: affinity mask and cgroup quota considered.
int available_threads();

}  // namespace infernum
