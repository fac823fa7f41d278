// ExpertMatMul: of few tokens every pair streams the rows of its matrix; of many, pairs are sorted by matrix on the device and multiplied
// in tiles.
#include "ops/cuda/products.cuh"
#include "ops/kernels.h"

namespace infernum {
namespace cuda {
namespace {

/// Up to here a matrix is hardly ever chosen twice, or the L2 cache still has it.
constexpr int64_t most_tokens_alone = 4;

/// Bytes from one matrix to the next: Matrices<Cuda> lie one behind the other (formats/place.h).
int64_t step_of(std::span<const View<Cuda>> w) {
  if (w.size() == 1) return 0;
  const int64_t step = static_cast<const std::byte*>(w[1].data) - static_cast<const std::byte*>(w[0].data);
  for (size_t e = 0; e < w.size(); e++) {
    check(w[e].data == static_cast<std::byte*>(w[0].data) + static_cast<int64_t>(e) * step,
          "expert_matmul: matrices lie a fixed step apart", e, step);
    check(w[e].dtype == w[0].dtype && w[e].rank == 2 && w[e].size[0] == w[0].size[0] && w[e].size[1] == w[0].size[1] &&
              w[e].stride == w[0].stride,
          "expert_matmul: all experts have one type and shape", describe(w[e]), describe(w[0]));
  }
  return step;
}

}  // namespace
}  // namespace cuda

void kernel(ExpertMatMul, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x, std::span<const View<Cuda>> w, View<Cuda> ids) {
  check(!w.empty(), "expert_matmul: at least one expert");
  check(ids.dtype == DType::I32, "expert_matmul: ids are I32", info(ids.dtype).name);
  cuda::check_product(ExpertMatMul::name, y, x, w.front());
  check(w.front().size[0] == y.cols(), "expert_matmul: w are matrices (n, k) and y has n columns", w.front().size[0], y.cols());
  const int64_t tokens = ids.rows(), slots = ids.cols(), pairs = tokens * slots;
  check(y.rows() == pairs && (x.rows() == pairs || x.rows() == tokens),
        "expert_matmul: y has a row per (token, slot), x one per pair or per token", y.rows(), x.rows(), tokens, slots);
  check(w.size() <= 1024, "expert_matmul: at most 1024 experts", w.size());
  const int64_t step = cuda::step_of(w);
  if (pairs == 0 || y.cols() == 0) return;
  cuda::Operands a = cuda::operands(y, x, w.front());
  a.m = pairs;
  a.chosen = {ids.as<const int32_t>(),   ids.stride, step, static_cast<int>(slots), x.rows() == pairs ? 1 : static_cast<int>(slots),
              static_cast<int>(w.size())};
  if (tokens > cuda::most_tokens_alone || pairs > 65535) return cuda::grouped_product(q, ExpertMatMul::name, a);
  if (is_float(a.w_type) || a.k == 0) {
    if (a.k == 0) a.w_type = a.x_type;
    return cuda::gemv(q, ExpertMatMul::name, a);
  }
  cuda::gemv_blocks(q, ExpertMatMul::name, a);
}

}  // namespace infernum
