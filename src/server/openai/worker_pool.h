// WorkerPool: a few threads for work that would hold up the I/O thread: long bodies, templates, tokenization.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace infernum::server::openai {

class WorkerPool {
 public:
  /// At most `most_waiting` jobs wait.
  WorkerPool(int threads, size_t most_waiting);
  /// Finishes the jobs that have begun; the others are dropped.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// False if too many wait already. Jobs must not throw.
  bool submit(std::function<void()> job);

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;
  size_t most_waiting_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace infernum::server::openai
