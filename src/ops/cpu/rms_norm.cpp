// RmsNorm and LayerNorm. Bound by memory: a row is read once and stays in L1 for the later passes.
#include "ops/cpu/rows.h"
#include "ops/kernels.h"

namespace infernum {

void kernel(RmsNorm, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x, View<Cpu> w, float eps) {
  const RowOps& ops = row_ops(q.isa);
  for_rows(
      q, ops, y, [&](float* out, const float* in) { ops.rms_norm(out, in, w.as<const float>(), y.cols(), eps); }, x);
}

void kernel(LayerNorm, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x, View<Cpu> w, float eps) {
  const RowOps& ops = row_ops(q.isa);
  for_rows(
      q, ops, y, [&](float* out, const float* in) { ops.layer_norm(out, in, w.as<const float>(), y.cols(), eps); }, x);
}

}  // namespace infernum
