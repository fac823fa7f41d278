// AllReduce and AllGather. A rank alone never calls them (ops/collectives.h), and a CUDA queue has no others to exchange with.
#include "backends/cuda/queue.h"
#include "core/check.h"
#include "ops/kernels.h"

namespace infernum {

void kernel(AllReduce, Queue<Cuda>&, View<Cuda>, View<Cuda>) {
  fail("all_reduce: this queue belongs to no group of ranks; CUDA runs a model on one device");
}

void kernel(AllGather, Queue<Cuda>&, View<Cuda>, View<Cuda>) {
  fail("all_gather: this queue belongs to no group of ranks; CUDA runs a model on one device");
}

}  // namespace infernum
