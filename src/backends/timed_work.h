// TimedWork: work on a queue whose duration is measured as a whole, again and again.
#pragma once
#include <chrono>
#include <functional>

#include "backends/cpu/queue.h"
#include "core/view.h"

namespace infernum {

template <class B>
class TimedWork;

template <>
class TimedWork<Cpu> {
 public:
  TimedWork(Queue<Cpu>&, std::function<void()> work) : work_(std::move(work)) {}
  double seconds() {
    const auto start = std::chrono::steady_clock::now();
    work_();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  std::function<void()> work_;
};

}  // namespace infernum
