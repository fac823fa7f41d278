// hard_swish on the CPU: for_rows() brings rows of any float type as F32 and divides them among threads.
#include <algorithm>

#include "hard_swish.h"
#include "ops/cpu/rows.h"

namespace example {

void kernel(HardSwish, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x) {
  const auto row = [n = y.cols()](float* out, const float* in) {
    for (int64_t i = 0; i < n; i++) out[i] = in[i] * std::clamp(in[i] / 6 + 0.5f, 0.f, 1.f);
  };
  for_rows(q, row_ops(q.isa), y, row, x);
}

}  // namespace example
