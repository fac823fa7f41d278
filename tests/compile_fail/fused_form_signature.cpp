// A block that is claimed to have a fused kernel must not compile when no line of ops/kernels.h fits its arguments.
#include "backends/cpu/queue.h"
#include "blocks/swiglu.h"

using namespace infernum;

using Part = Tensor<Cpu, Shard>;
static_assert(HasKernel<SwiGlu, Cpu, Part, Part, Part>, "SwiGlu has a fused kernel on the CPU");

#ifndef INFERNUM_COMPILES
static_assert(HasKernel<SwiGlu, Cpu, Part, Part, Part, float>, "no fused kernel takes a scalar here");
#endif
