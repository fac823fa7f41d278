// What this machine can do at most: the floors that benchmarks of kernels are compared with.
#pragma once
#include "backends/cpu/queue.h"

namespace infernum {

/// All threads of the queue together, at its instruction-set level, in GB/s and G(FL)OP/s (a multiply and an add are two).
struct MachinePeaks {
  double read_bandwidth;
  double f32, bf16, int8;
};

MachinePeaks measure_peaks(Queue<Cpu>& queue);

/// Best sequential read bandwidth over `bytes` bytes, best of `rounds`.
double measure_read_bandwidth(Queue<Cpu>& queue, const std::byte* data, int64_t bytes, int rounds);

}  // namespace infernum
