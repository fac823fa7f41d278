// What this machine can do at most: the floors that benchmarks compare ops with.
#pragma once
#include "backends/cpu/queue.h"

namespace infernum {

/// All threads of the queue together, at its instruction-set level, in GB/s and G(FL)OP/s (a multiply and an add are two).
struct MachinePeaks {
  double read_bandwidth;
  double f32, bf16, int8;  ///< 0: not known for this processor
};

MachinePeaks measure_peaks(Queue<Cpu>& queue);

/// Bytes per second of a sequential pass over 512 MiB, best of several.
double read_bandwidth(Queue<Cpu>& queue);

}  // namespace infernum
