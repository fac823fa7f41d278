// ExpertMatMul: (token, slot) pairs grouped by expert, one product for each expert that was chosen.
#include <numeric>
#include <vector>

#include "backends/cpu/queue.h"
#include "core/check.h"
#include "ops/cpu/product.h"
#include "ops/kernels.h"

namespace infernum {
namespace {

void check_expert(const View<Cpu>& y, const View<Cpu>& x, const View<Cpu>& w, const View<Cpu>& first) {
  check_product(ExpertMatMul::name, y, x, w);
  check(w.rank == 2 && w.size[0] == y.cols(), "expert_matmul: w are matrices (n, k) and y has n columns", w.rank, w.size[0], y.cols());
  check(w.dtype == first.dtype, "expert_matmul: all experts have one type", w.dtype, first.dtype);
}

}  // namespace

void kernel(ExpertMatMul, Queue<Cpu>& queue, View<Cpu> y, View<Cpu> x, std::span<const View<Cpu>> w, View<Cpu> ids) {
  check(!w.empty(), "expert_matmul: at least one expert");
  check(ids.dtype == DType::I32, "expert_matmul: ids are I32", ids.dtype);
  const int64_t experts = static_cast<int64_t>(w.size()), tokens = ids.rows(), slots = ids.cols(), pairs = tokens * slots;
  check(y.rows() == pairs && (x.rows() == pairs || x.rows() == tokens),
        "expert_matmul: y has a row per (token, slot), x one per pair or per token", y.rows(), x.rows(), tokens, slots);
  const int64_t share = x.rows() == pairs ? 1 : slots;  // consecutive pairs that read one row of x
  std::vector<int32_t> first(static_cast<size_t>(experts) + 1), x_rows(static_cast<size_t>(pairs)), y_rows(static_cast<size_t>(pairs));
  for (int64_t t = 0; t < tokens; t++)
    for (int64_t s = 0; s < slots; s++) {
      const int32_t e = ids.row<int32_t>(t)[s];
      check(e >= 0 && e < experts, "expert_matmul: an id names an expert", e, experts);
      first[static_cast<size_t>(e) + 1]++;
    }
  std::vector<Product> products;
  for (size_t e = 0; e < w.size(); e++) {
    if (first[e + 1] > 0) {
      check_expert(y, x, w[e], w.front());
      products.push_back({w[e].as<const std::byte>(), x_rows.data() + first[e], y_rows.data() + first[e], first[e + 1]});
    }
    first[e + 1] += first[e];
  }
  for (int64_t p = 0; p < pairs; p++) {
    const auto at = static_cast<size_t>(first[static_cast<size_t>(ids.row<int32_t>(p / slots)[p % slots])]++);
    x_rows[at] = static_cast<int32_t>(p / share);
    y_rows[at] = static_cast<int32_t>(p);
  }
  run_products(queue, y, x, w.front().dtype, products);
}

void kernel(HeadIds, Queue<Cpu>&, View<Cpu> ids) {
  for (int64_t t = 0; t < ids.rows(); t++) std::iota(ids.row<int32_t>(t), ids.row<int32_t>(t) + ids.cols(), 0);
}

}  // namespace infernum
