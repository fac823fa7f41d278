// An op without a line for a backend in ops/kernels.h must not compile there, and the error must send the reader to that page.
#include "backends/cpu/queue.h"
#include "core/op.h"
#include "ops/kernels.h"

using namespace infernum;

struct Cosine {
  static constexpr auto name = "cosine";
};

void listed(const Tensor<Cpu>& y, const Tensor<Cpu>& x) { run<Silu>(y, x); }

#ifndef INFERNUM_COMPILES
void unlisted(const Tensor<Cpu>& y, const Tensor<Cpu>& x) { run<Cosine>(y, x); }
#endif
