// allocate_on_device(): device memory whose refusal says on which device, how much was asked for and how much is free.
#pragma once
#include <cstdint>

namespace infernum {

/// Of the current device, for cudaFree(). Throws OutOfMemory, or DeviceLost. Also while a graph is recorded: then it is no part of the
/// graph.
void* allocate_on_device(int64_t bytes);

}  // namespace infernum
