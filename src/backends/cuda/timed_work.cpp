#include "backends/cuda/timed_work.h"

namespace infernum {

TimedWork<Cuda>::TimedWork(Queue<Cuda>& queue, const std::function<void()>& work) : queue_(queue) {
  work();  // fills the pool and what kernels keep: a recording must not allocate
  queue_.synchronize();
  graph_.record(queue_, work);
}

double TimedWork<Cuda>::seconds() {
  begin_.record(queue_);
  graph_.launch(queue_);
  end_.record(queue_);
  queue_.synchronize();
  return end_.seconds_since(begin_);
}

}  // namespace infernum
