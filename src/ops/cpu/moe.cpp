// CombineExperts and AddExpertBias: S rows per token. Bound by memory.
#include <algorithm>

#include "ops/cpu/rows.h"
#include "ops/kernels.h"

namespace infernum {

void kernel(CombineExperts, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x, View<Cpu> weights) {
  const RowOps& ops = row_ops(q.isa);
  const int64_t chosen = weights.cols();
  q.parallel_for(y.rows(), row_grain(y), [&](int64_t begin, int64_t end) {
    std::vector<float> in, out;
    for (int64_t t = begin; t < end; t++) {
      float* target = write_row(y, t, out);
      std::fill_n(target, y.cols(), 0.f);
      for (int64_t s = 0; s < chosen; s++)
        ops.scaled_add(target, weights.row<const float>(t)[s], read_row(ops, x, t * chosen + s, in), y.cols());
      finish_row(ops, y, t, out);
    }
  });
}

void kernel(AddExpertBias, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x, View<Cpu> bias, View<Cpu> ids) {
  const RowOps& ops = row_ops(q.isa);
  const int32_t* expert = ids.as<const int32_t>();
  q.parallel_for(y.rows(), row_grain(y), [&](int64_t begin, int64_t end) {
    std::vector<float> in, out;
    for (int64_t p = begin; p < end; p++) {
      ops.add(write_row(y, p, out), read_row(ops, x, p, in), bias.row<const float>(expert[p]), y.cols());
      finish_row(ops, y, p, out);
    }
  });
}

}  // namespace infernum
