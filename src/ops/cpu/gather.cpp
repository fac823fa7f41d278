// Embed, TakeRows, SliceHeads and ConcatHeads: what is wanted is read and written once. Ids and rows were checked against the tables by
// the caller of the model.
#include <cstring>

#include "ops/cpu/rows.h"
#include "ops/kernels.h"
#include "quant/quant.h"

namespace infernum {

void kernel(Embed, Queue<Cpu>& q, View<Cpu> y, View<Cpu> table, View<Cpu> ids) {
  const RowOps& ops = row_ops(q.isa);
  q.parallel_for(y.rows(), 16, [&](int64_t begin, int64_t end) {
    std::vector<float> out;
    for (int64_t t = begin; t < end; t++) {
      const char* row = table.row_bytes(ids.as<const int32_t>()[t]);
      dequantize(table.dtype, reinterpret_cast<const std::byte*>(row), write_row(y, t, out), y.cols());
      finish_row(ops, y, t, out);
    }
  });
}

void kernel(TakeRows, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x, View<Cpu> rows) {
  q.parallel_for(y.rows(), row_grain(y), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
      std::memcpy(y.row_bytes(i), x.row_bytes(rows.as<const int32_t>()[i]), static_cast<size_t>(bytes_of(y.dtype, y.cols())));
  });
}

void kernel(SliceHeads, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x, int64_t heads, int64_t offset) {
  const int64_t width = bytes_of(y.dtype, y.cols() / heads), stride = bytes_of(x.dtype, x.cols() / heads);
  q.parallel_for(y.rows(), row_grain(y), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
      const char* from = x.row_bytes(t) + bytes_of(x.dtype, offset);
      for (int64_t h = 0; h < heads; h++) std::memcpy(y.row_bytes(t) + h * width, from + h * stride, static_cast<size_t>(width));
    }
  });
}

void kernel(ConcatHeads, Queue<Cpu>& q, View<Cpu> y, View<Cpu> a, View<Cpu> b, int64_t heads) {
  const int64_t first = bytes_of(a.dtype, a.cols() / heads), second = bytes_of(b.dtype, b.cols() / heads);
  q.parallel_for(y.rows(), row_grain(y), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++)
      for (int64_t h = 0; h < heads; h++) {
        char* head = y.row_bytes(t) + h * (first + second);
        std::memcpy(head, a.row_bytes(t) + h * first, static_cast<size_t>(first));
        std::memcpy(head + first, b.row_bytes(t) + h * second, static_cast<size_t>(second));
      }
  });
}

}  // namespace infernum
