// A residual plus a sum that was not reduced over the ranks must not compile, naming both layouts.
#include "backends/cpu/queue.h"
#include "ops/collectives.h"
#include "ops/elementwise.h"

using namespace infernum;

Tensor<Cpu> reduced(const Tensor<Cpu>& residual, const Tensor<Cpu, Partial>& part) { return add(residual, all_reduce(part)); }

#ifndef INFERNUM_COMPILES
Tensor<Cpu> forgotten(const Tensor<Cpu>& residual, const Tensor<Cpu, Partial>& part) { return add(residual, part); }
#endif
