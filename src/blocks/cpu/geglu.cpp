// GeGlu fused: gate and up are read once, the product written once.
#include "blocks/geglu.h"

#include "ops/cpu/rows.h"

namespace infernum {

void kernel(GeGlu, Queue<Cpu>& q, View<Cpu> y, View<Cpu> gate, View<Cpu> up) {
  const RowOps& ops = row_ops(q.isa);
  for_rows(
      q, ops, y, [&](float* out, const float* g, const float* u) { ops.geglu(out, g, u, y.cols()); }, gate, up);
}

}  // namespace infernum
