// AddRmsNorm fused: the sum stays in L1 between the addition and the norm.
#include "blocks/add_rms_norm.h"
#include "ops/cpu/rows.h"

namespace infernum {

void kernel(AddRmsNorm, Queue<Cpu>& q, View<Cpu> sum, View<Cpu> y, View<Cpu> h, View<Cpu> x, View<Cpu> w, float eps) {
  const RowOps& ops = row_ops(q.isa);
  q.parallel_for(y.rows(), row_grain(y), [&](int64_t begin, int64_t end) {
    std::vector<float> sums, out, left, right;
    for (int64_t r = begin; r < end; r++) {
      const float *a = read_row(ops, h, r, left), *b = read_row(ops, x, r, right);
      float *s = write_row(sum, r, sums), *o = write_row(y, r, out);
      ops.add_rms_norm(s, o, a, b, w.as<const float>(), y.cols(), eps);
      finish_row(ops, sum, r, sums);
      finish_row(ops, y, r, out);
    }
  });
}

}  // namespace infernum
