// AllReduce and AllGather among ranks that are threads of one process. Sums in the order of the ranks, so every rank gets the same bits.
#include <cstring>

#include "ops/cpu/rows.h"
#include "ops/kernels.h"

namespace infernum {

void kernel(AllReduce, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x) {
  check(q.group != nullptr, "all_reduce: this queue belongs to no group of ranks");
  const RowOps& ops = row_ops(q.isa);
  q.group->exchange(q.rank, &x, [&](const std::vector<const void*>& parts) {
    q.parallel_for(y.rows(), row_grain(y), [&](int64_t begin, int64_t end) {
      std::vector<float> in, out;
      for (int64_t r = begin; r < end; r++) {
        float* sum = write_row(y, r, out);
        std::fill_n(sum, y.cols(), 0.f);
        for (const void* part : parts) ops.scaled_add(sum, 1, read_row(ops, *static_cast<const View<Cpu>*>(part), r, in), y.cols());
        finish_row(ops, y, r, out);
      }
    });
  });
}

void kernel(AllGather, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x) {
  check(q.group != nullptr, "all_gather: this queue belongs to no group of ranks");
  q.group->exchange(q.rank, &x, [&](const std::vector<const void*>& parts) {
    const int64_t bytes = bytes_of(x.dtype, x.cols());
    for (int64_t r = 0; r < y.rows(); r++)
      for (size_t p = 0; p < parts.size(); p++)
        std::memcpy(y.row_bytes(r) + static_cast<int64_t>(p) * bytes, static_cast<const View<Cpu>*>(parts[p])->row_bytes(r),
                    static_cast<size_t>(bytes));
  });
}

}  // namespace infernum
