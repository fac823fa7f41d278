// How fast a CUDA device reads memory that is in no cache: the floor of decoding.
#pragma once
#include "backends/cuda/queue.h"

namespace infernum {

/// Bytes per second of a read-only pass over 2 GiB, or a quarter of the device's memory; best of several.
double read_bandwidth(Queue<Cuda>& queue);

}  // namespace infernum
