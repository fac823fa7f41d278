// RopeTable and Rope. The table is made once per step in double precision; applying it is bound by memory.
#include <cmath>

#include "ops/cpu/rows.h"
#include "ops/kernels.h"

namespace infernum {

void kernel(RopeTable, Queue<Cpu>& q, View<Cpu> table, View<Cpu> positions, View<Cpu> inv_freq, float scale) {
  const int64_t half = inv_freq.cols();
  q.parallel_for(table.rows(), 64, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
      float* row = table.row<float>(t);
      for (int64_t i = 0; i < half; i++) {
        // The angle is rounded to f32 as the references do, then its sine and cosine are exact.
        const auto angle = static_cast<double>(static_cast<float>(positions.as<const int32_t>()[t]) * inv_freq.as<const float>()[i]);
        row[i] = static_cast<float>(std::cos(angle)) * scale;
        row[half + i] = static_cast<float>(std::sin(angle)) * scale;
      }
    }
  });
}

void kernel(Rope, Queue<Cpu>& q, View<Cpu> y, View<Cpu> x, View<Cpu> table, RopeParams p) {
  const RowOps& ops = row_ops(q.isa);
  const int64_t d = table.cols(), half = d / 2;
  q.parallel_for(y.rows(), row_grain(y), [&](int64_t begin, int64_t end) {
    std::vector<float> in, out;
    for (int64_t t = begin; t < end; t++) {
      const float *source = read_row(ops, x, t, in), *cos = table.row<const float>(t), *sin = cos + half;
      float* target = write_row(y, t, out);
      for (int64_t h = 0; h < x.cols(); h += p.head_dim) {
        if (p.interleaved) {
          for (int64_t i = 0; i < half; i++) {
            const float a = source[h + 2 * i], b = source[h + 2 * i + 1];
            target[h + 2 * i] = a * cos[i] - b * sin[i];
            target[h + 2 * i + 1] = b * cos[i] + a * sin[i];
          }
        } else {
          ops.rotate_half(target + h, source + h, cos, sin, half);
        }
        std::copy(source + h + d, source + h + p.head_dim, target + h + d);
      }
      finish_row(ops, y, t, out);
    }
  });
}

}  // namespace infernum
