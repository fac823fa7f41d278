// Ops on every element or with one number per row or column. Bound by memory: every argument is read or written once.
#include <cmath>

#include "ops/cpu/rows.h"
#include "ops/kernels.h"

namespace infernum {
namespace {

/// y.row = f(x.row, arguments...) for a row function of RowOps.
template <class... P, class... A>
void map_rows(Queue<Cpu>& q, void (*RowOps::*f)(float*, const float*, int64_t, P...), const View<Cpu>& y, const View<Cpu>& x,
              A... arguments) {
  const RowOps& ops = row_ops(q.isa);
  for_rows(
      q, ops, y, [&](float* out, const float* u) { (ops.*f)(out, u, y.cols(), arguments...); }, x);
}

/// y.row = f(a.row, b.row).
void map_rows(Queue<Cpu>& q, void (*RowOps::*f)(float*, const float*, const float*, int64_t), const View<Cpu>& y, const View<Cpu>& a,
              const View<Cpu>& b) {
  const RowOps& ops = row_ops(q.isa);
  for_rows(
      q, ops, y, [&](float* out, const float* u, const float* v) { (ops.*f)(out, u, v, y.cols()); }, a, b);
}

}  // namespace

void kernel(Add, Queue<Cpu>& q, View<Cpu> y, View<Cpu> a, View<Cpu> b) { map_rows(q, &RowOps::add, y, a, b); }

void kernel(Mul, Queue<Cpu>& q, View<Cpu> y, View<Cpu> a, View<Cpu> b) { map_rows(q, &RowOps::mul, y, a, b); }

void kernel(Silu, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x) { map_rows(q, &RowOps::silu, y, x); }

void kernel(Sigmoid, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x) { map_rows(q, &RowOps::sigmoid, y, x); }

void kernel(GeluTanh, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x) { map_rows(q, &RowOps::gelu_tanh, y, x); }

void kernel(Gelu, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x) { map_rows(q, &RowOps::gelu, y, x); }

void kernel(Softcap, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x, float c) { map_rows(q, &RowOps::softcap, y, x, c); }

void kernel(Clamp, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x, float low, float high) { map_rows(q, &RowOps::clamp, y, x, low, high); }

void kernel(Scale, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x, float s) { map_rows(q, &RowOps::scale, y, x, s); }

void kernel(ScaleRows, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x, View<Cpu> s) {
  const RowOps& ops = row_ops(q.isa);
  for_rows(
      q, ops, y, [&](float* out, const float* u, const float* factor) { ops.scale(out, u, y.cols(), *factor); }, x, s);
}

void kernel(PositionScale, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x, View<Cpu> positions, PositionScaleParams p) {
  const RowOps& ops = row_ops(q.isa);
  q.parallel_for(y.rows(), row_grain(y), [&](int64_t begin, int64_t end) {
    std::vector<float> in, out;
    for (int64_t t = begin; t < end; t++) {
      const double position = static_cast<double>(positions.as<const int32_t>()[t]) + p.offset;
      const double steps = std::floor(position / static_cast<double>(p.floor_scale));
      const auto factor = static_cast<float>(1 + static_cast<double>(p.beta) * std::log1p(steps));
      ops.scale(write_row(y, t, out), read_row(ops, x, t, in), y.cols(), factor);
      finish_row(ops, y, t, out);
    }
  });
}

void kernel(AddBias, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x, View<Cpu> bias) {
  const RowOps& ops = row_ops(q.isa);
  for_rows(
      q, ops, y, [&](float* out, const float* u) { ops.add(out, u, bias.as<const float>(), y.cols()); }, x);
}

}  // namespace infernum
