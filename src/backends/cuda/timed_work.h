// On a GPU work is recorded once and replayed between two events, so that neither its submission nor the host's clock counts.
#pragma once
#include "backends/cuda/event.h"
#include "backends/cuda/graph.h"
#include "backends/timed_work.h"

namespace infernum {

template <>
class TimedWork<Cuda> {
 public:
  /// Runs `work`, then records it. What it uses must live as long as this.
  TimedWork(Queue<Cuda>& queue, const std::function<void()>& work);
  double seconds();

 private:
  Queue<Cuda>& queue_;
  CudaGraph graph_;
  CudaEvent begin_, end_;
};

}  // namespace infernum
