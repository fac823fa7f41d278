// silu(a) + silu(b) is not silu(a + b), so a non-linear op must reject a sum still to be reduced.
#include "backends/cpu/queue.h"
#include "ops/elementwise.h"

using namespace infernum;

Tensor<Cpu, Shard> on_shard(const Tensor<Cpu, Shard>& x) { return silu(x); }

#ifndef INFERNUM_COMPILES
Tensor<Cpu, Partial> on_partial(const Tensor<Cpu, Partial>& x) { return silu(x); }
#endif
