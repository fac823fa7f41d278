// Add, Mul, Silu and AddBias. Bound by memory: every argument is read or written once.
#include "ops/cpu/rows.h"
#include "ops/kernels.h"

namespace infernum {

void kernel(Add, Queue<Cpu>& q, View<Cpu> y, View<Cpu> a, View<Cpu> b) {
  const RowOps& ops = row_ops(q.isa);
  for_rows(
      q, ops, y, [&](float* out, const float* u, const float* v) { ops.add(out, u, v, y.cols()); }, a, b);
}

void kernel(Mul, Queue<Cpu>& q, View<Cpu> y, View<Cpu> a, View<Cpu> b) {
  const RowOps& ops = row_ops(q.isa);
  for_rows(
      q, ops, y, [&](float* out, const float* u, const float* v) { ops.mul(out, u, v, y.cols()); }, a, b);
}

void kernel(Silu, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x) {
  const RowOps& ops = row_ops(q.isa);
  for_rows(
      q, ops, y, [&](float* out, const float* u) { ops.silu(out, u, y.cols()); }, x);
}

void kernel(AddBias, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x, View<Cpu> bias) {
  const RowOps& ops = row_ops(q.isa);
  for_rows(
      q, ops, y, [&](float* out, const float* u) { ops.add(out, u, bias.as<const float>(), y.cols()); }, x);
}

}  // namespace infernum
