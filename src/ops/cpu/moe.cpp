// RouteSoftmax, CombineExperts and AddExpertBias. Tiny: E logits and S rows per token.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/cpu/rows.h"
#include "ops/kernels.h"

namespace infernum {

void kernel(RouteSoftmax, Queue<Cpu>& q, View<Cpu> weights, View<Cpu> ids, View<Cpu> logits, bool renormalise) {
  const RowOps& ops = row_ops(q.isa);
  const int64_t experts = logits.cols(), chosen = ids.cols();
  q.parallel_for(logits.rows(), 16, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch, p(static_cast<size_t>(experts));
    std::vector<int32_t> order(static_cast<size_t>(experts));
    for (int64_t t = begin; t < end; t++) {
      const float* x = read_row(ops, logits, t, scratch);
      const float highest = *std::max_element(x, x + experts);
      float total = 0;
      for (int64_t e = 0; e < experts; e++) total += p[static_cast<size_t>(e)] = std::exp(x[e] - highest);
      std::iota(order.begin(), order.end(), 0);
      // Ties go to the lower id; NaN sorts as the lowest logit, so that the order stays a strict one.
      const auto key = [x](int32_t e) { return std::isnan(x[e]) ? -INFINITY : x[e]; };
      std::partial_sort(order.begin(), order.begin() + chosen, order.end(),
                        [&](int32_t a, int32_t b) { return key(a) > key(b) || (key(a) == key(b) && a < b); });
      float kept = 0;
      for (int64_t s = 0; s < chosen; s++) kept += p[static_cast<size_t>(order[static_cast<size_t>(s)])] / total;
      for (int64_t s = 0; s < chosen; s++) {
        const int32_t e = order[static_cast<size_t>(s)];
        ids.row<int32_t>(t)[s] = e;
        weights.row<float>(t)[s] = p[static_cast<size_t>(e)] / total / (renormalise ? kept : 1);
      }
    }
  });
}

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
