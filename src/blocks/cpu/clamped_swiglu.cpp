// ClampedSwiGlu fused: gate and up are read once, the product written once.
#include "blocks/clamped_swiglu.h"

#include "ops/cpu/rows.h"

namespace infernum {

void kernel(ClampedSwiGlu, Queue<Cpu>& q, View<Cpu> y, View<Cpu> gate, View<Cpu> up, float alpha, float limit) {
  const RowOps& ops = row_ops(q.isa);
  for_rows(
      q, ops, y, [&](float* out, const float* g, const float* u) { ops.clamped_swiglu(out, g, u, y.cols(), alpha, limit); }, gate, up);
}

}  // namespace infernum
