// MatMul and BlockMatMul: one product over all rows.
#include <numeric>
#include <vector>

#include "backends/cpu/queue.h"
#include "core/check.h"
#include "ops/cpu/product.h"
#include "ops/kernels.h"

namespace infernum {
namespace {

void multiply(const char* op, Queue<Cpu>& queue, View<Cpu> y, View<Cpu> x, View<Cpu> w) {
  check_product(op, y, x, w);
  check(y.rows() == x.rows() && w.rows() == y.cols(), "matmul: y (m, n) = x (m, k) * w (n, k)", op, y.rows(), y.cols(), x.rows(), w.rows());
  std::vector<int32_t> rows(static_cast<size_t>(x.rows()));
  std::iota(rows.begin(), rows.end(), 0);
  const Product product{w.as<const std::byte>(), rows.data(), rows.data(), x.rows()};
  run_products(queue, y, x, w.dtype, {&product, 1});
}

}  // namespace

void kernel(MatMul, Queue<Cpu>& queue, View<Cpu> y, View<Cpu> x, View<Cpu> w) {
  check(is_float(w.dtype), "matmul: weights are F32, F16 or BF16", w.dtype);
  multiply(MatMul::name, queue, y, x, w);
}

void kernel(BlockMatMul, Queue<Cpu>& queue, View<Cpu> y, View<Cpu> x, View<Cpu> w) {
  check(is_gguf_block(w.dtype) || is_packed(w.dtype), "block_matmul: weights are GGUF blocks or their packed form", w.dtype);
  multiply(BlockMatMul::name, queue, y, x, w);
}

}  // namespace infernum
