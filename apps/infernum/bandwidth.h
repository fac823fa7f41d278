// The floor of decoding: how fast this machine's threads together read memory that is in no cache.
#pragma once
#include "backends/cpu/queue.h"

namespace infernum::app {

/// Bytes per second, best of several passes over a buffer much larger than the caches.
double read_bandwidth(Queue<Cpu>& queue);

}  // namespace infernum::app
