// OpClock: when each op of a step ran on the device, by events between the kernels that are read once the step is done: the host waits for
// nothing it would not wait for anyway.
#pragma once
#include <chrono>
#include <string_view>
#include <vector>

#include "backends/cuda/event.h"
#include "core/device.h"

namespace infernum {

class OpClock {
 public:
  /// Begins a step on a queue that has nothing to do: from here the device's times count on the host's clock. Every step anew, since
  /// CUDA tells the time between two events as a float.
  void start(Queue<Cuda>& queue);
  /// Around the submission of an op. `op` outlives the step.
  void begin(Queue<Cuda>& queue, std::string_view op);
  void end(Queue<Cuda>& queue);
  /// Tells of every op since start(), in order. The queue must have done them.
  void report(const Queue<Cuda>& queue, const OpTimer& timer);

 private:
  struct Op {
    std::string_view name;
    CudaEvent begin, end;
  };
  CudaEvent base_;
  std::chrono::steady_clock::time_point host_base_;
  std::vector<Op> ops_;  ///< of the longest step so far; events are used again
  size_t used_ = 0;
};

}  // namespace infernum
