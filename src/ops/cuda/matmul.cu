// MatMul and BlockMatMul: few rows go to the GEMV kernels, many to cuBLASLt, which gets types that it does not multiply in converted
// strips.
#include "backends/cuda/blas_lt.h"
#include "ops/cuda/products.cuh"
#include "ops/kernels.h"

namespace infernum {
namespace cuda {

void check_product(std::string_view op, const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w) {
  check(is_float(x.dtype) && (y.dtype == x.dtype || y.dtype == DType::F32), "matmul: x is of a float type and y of the same or F32", op,
        info(x.dtype).name, info(y.dtype).name);
  check(is_float(w.dtype) || is_gguf_block(w.dtype), "matmul: weights are floats or GGUF blocks", op, info(w.dtype).name);
  check(x.rank >= 1 && y.rank >= 1 && w.rank >= 2, "matmul: at least one dimension of x and y, two of w", op, x.rank, y.rank, w.rank);
  check(x.cols() == w.cols(), "matmul: x (m, k) and w (n, k) have one k", op, x.cols(), w.cols());
  check(w.stride == w.cols(), "matmul: the rows of w are packed", op, w.stride, w.cols());
  check(w.cols() % info(w.dtype).block == 0, "matmul: k is a multiple of the block", op, info(w.dtype).name, w.cols());
  check(x.rows() < (int64_t{1} << 31) && y.rows() < (int64_t{1} << 31) && w.cols() < (int64_t{1} << 31) && y.cols() < (int64_t{1} << 31),
        "matmul: fewer than 2^31 rows and columns", op, x.rows(), y.rows(), w.cols(), y.cols());
  const int64_t alignment = is_float(w.dtype)              ? info(w.dtype).bytes
                            : info(w.dtype).bytes % 4 == 0 ? 4
                            : info(w.dtype).bytes % 2 == 0 ? 2
                                                           : 1;
  check(divides(alignment, w.data), "matmul: weights at an address that suits their type", op, info(w.dtype).name);
}

namespace {

/// Up to here blocks are multiplied by the GEMV kernels, eight rows at a time: expanding them costs about eight times their bytes.
constexpr int64_t block_gemv_limit = 16;

/// Of an expanded strip of w: what stays in the L2 cache between its expansion and its product.
constexpr int64_t strip_bytes = int64_t{24} << 20;

View<Cuda> matrix(void* data, int64_t rows, int64_t cols, DType dtype) { return {data, {rows, cols}, cols, 2, dtype}; }
View<Cuda> part_of_rows(View<Cuda> v, int64_t begin, int64_t end) {
  const int64_t cols = v.cols();
  return {v.row_bytes(begin), {end - begin, cols}, v.stride, 2, v.dtype};
}
View<Cuda> part_of_columns(const View<Cuda>& v, int64_t begin, int64_t end) {
  return {static_cast<char*>(v.data) + bytes_of(v.dtype, begin), {v.rows(), end - begin}, v.stride, 2, v.dtype};
}
View<Cuda> flat(const View<Cuda>& v) { return {v.data, {v.rows(), v.cols()}, v.stride, 2, v.dtype}; }

/// Operands of one type. The GEMV kernels take what cuBLASLt refuses: rows at odd addresses.
void multiply_alike(Queue<Cuda>& q, std::string_view op, const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w) {
  if (!q.blas().multiply(q, y, x, w)) gemv(q, op, operands(y, x, w));
}

/// w in strips of the type that the product is computed in. That is x's for blocks; where two float types differ it is F32, so that
/// neither loses bits.
void multiply_converted(Queue<Cuda>& q, std::string_view op, View<Cuda> y, View<Cuda> x, View<Cuda> w) {
  const DType type = is_float(w.dtype) ? DType::F32 : x.dtype;
  const int64_t m = x.rows(), n = y.cols(), k = x.cols(), row_bytes = k * info(type).bytes;
  std::shared_ptr<void> x_memory, y_memory, w_memory;
  if (x.dtype != type) {
    x_memory = q.memory.allocate(m * row_bytes);
    const View<Cuda> converted = matrix(x_memory.get(), m, k, type);
    convert_rows(q, op, x, converted);
    x = converted;
  }
  const bool w_fits = w.dtype == type, y_fits = BlasLt::takes(y.dtype, type, type);
  const int64_t wanted = std::max<int64_t>(strip_bytes / row_bytes / 128, 1) * 128, strip = w_fits && y_fits ? n : std::min(n, wanted);
  if (!w_fits) w_memory = q.memory.allocate(strip * row_bytes);
  if (!y_fits) y_memory = q.memory.allocate(m * strip * info(type).bytes);
  for (int64_t begin = 0; begin < n; begin += strip) {
    const int64_t end = std::min(begin + strip, n);
    View<Cuda> rows = part_of_rows(w, begin, end);
    if (!w_fits) {
      const View<Cuda> converted = matrix(w_memory.get(), end - begin, k, type);
      convert_rows(q, op, rows, converted);
      rows = converted;
    }
    const View<Cuda> out = part_of_columns(y, begin, end), in_type = y_fits ? out : matrix(y_memory.get(), m, end - begin, type);
    multiply_alike(q, op, in_type, x, rows);
    if (!y_fits) convert_rows(q, op, in_type, out);
  }
}

void multiply(Queue<Cuda>& q, std::string_view op, const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w) {
  check_product(op, y, x, w);
  check(y.rows() == x.rows() && w.rows() == y.cols(), "matmul: y (m, n) = x (m, k) * w (n, k)", op, y.rows(), y.cols(), x.rows(), w.rows());
  const int64_t m = x.rows();
  if (m == 0 || y.cols() == 0) return;
  const auto few_rows = is_float(w.dtype) ? gemv : gemv_blocks;
  if (x.cols() == 0) return gemv(q, op, operands(y, x, {x.data, {}, 0, 0, x.dtype}));
  if (m > (is_float(w.dtype) ? gemv_rows : block_gemv_limit)) {
    if (BlasLt::takes(y.dtype, x.dtype, w.dtype)) return multiply_alike(q, op, flat(y), flat(x), flat(w));
    return multiply_converted(q, op, flat(y), flat(x), flat(w));
  }
  for (int64_t begin = 0; begin < m; begin += gemv_rows) {
    const int64_t end = std::min<int64_t>(begin + gemv_rows, m);
    few_rows(q, op, operands(part_of_rows(flat(y), begin, end), part_of_rows(flat(x), begin, end), w));
  }
}

}  // namespace
}  // namespace cuda

void kernel(MatMul, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x, View<Cuda> w) {
  check(is_float(w.dtype), "matmul: weights are F32, F16 or BF16", info(w.dtype).name);
  cuda::multiply(q, MatMul::name, y, x, w);
}

void kernel(BlockMatMul, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x, View<Cuda> w) {
  check(is_gguf_block(w.dtype), "block_matmul: weights are GGUF blocks", info(w.dtype).name);
  cuda::multiply(q, BlockMatMul::name, y, x, w);
}

}  // namespace infernum
