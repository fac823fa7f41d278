// Reducing a complete value would multiply it by the number of ranks, so it must not compile.
#include "backends/cpu/queue.h"
#include "ops/collectives.h"

using namespace infernum;

Tensor<Cpu> once(Tensor<Cpu, Partial> x) { return all_reduce(std::move(x)); }

#ifndef INFERNUM_COMPILES
Tensor<Cpu> twice(Tensor<Cpu, Partial> x) { return all_reduce(all_reduce(std::move(x))); }
#endif
