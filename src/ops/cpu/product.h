// Products of activation rows with one or more weight matrices: how MatMul, BlockMatMul and ExpertMatMul share the thread team.
#pragma once
#include <span>

#include "core/view.h"

namespace infernum {

/// y row y_rows[i] = x row x_rows[i] * w^T for i = 0..m-1, with one (n, k) matrix at w.
struct Product {
  const std::byte* w;
  const int32_t* x_rows;
  const int32_t* y_rows;
  int64_t m;
};

/// y (rows, n), x (rows, k); all products have weights of one type and shape.
void run_products(Queue<Cpu>& queue, View<Cpu> y, View<Cpu> x, DType weights, std::span<const Product> products);

/// Bytes of one (n, k) matrix of type t, packed or not.
int64_t matrix_bytes(DType t, int64_t n, int64_t k);

/// Throws unless y, x and the (n, k) weights fit together.
void check_product(const char* op, const View<Cpu>& y, const View<Cpu>& x, const View<Cpu>& w);

}  // namespace infernum
