// Test matrices on a CUDA device, at chosen addresses and strides, and what their products may differ by from double precision.
#pragma once
#include "backends/cuda/transfer.h"
#include "ops/cpu/matmul_test_data.h"
#include "ops/cuda_test_support.h"

namespace infernum {

/// Bytes on a device; the copy lies `offset` bytes behind an aligned address.
struct OnDevice {
  Queue<Cuda>& queue;
  std::shared_ptr<void> memory;
  int64_t offset;
  size_t bytes;

  OnDevice(Queue<Cuda>& q, std::span<const std::byte> values, int64_t at = 0)
      : queue(q), memory(q.memory.allocate(static_cast<int64_t>(values.size()) + at + 16)), offset(at), bytes(values.size()) {
    upload(q, data(), values);
  }
  void* data() const { return static_cast<std::byte*>(memory.get()) + offset; }
  std::vector<std::byte> read() const {
    std::vector<std::byte> out(bytes);
    EXPECT_EQ(cudaMemcpyAsync(out.data(), data(), bytes, cudaMemcpyDeviceToHost, queue.stream), cudaSuccess);
    queue.synchronize();
    return out;
  }
};

inline OnDevice to_device(Queue<Cuda>& queue, const TestMatrix& m, int64_t offset = 0) { return {queue, m.bytes, offset}; }

inline View<Cuda> view_of(const OnDevice& d, const TestMatrix& m) { return {d.data(), {m.rows, m.cols}, m.cols, 2, m.type}; }

/// Rounding of the unit that the kernels multiply in, relative to the magnitudes summed: what blocks lose when they are expanded to the
/// type of the activations. int8: activations are rounded to int8 blocks first, which the reference does too.
struct Arithmetic {
  bool int8;
  double rounding;
};

/// y against the products in double precision; row p of y is x row x_rows[p] times rows first[p] .. of w.
inline void expect_rows(const TestMatrix& y, const TestMatrix& x, const TestMatrix& w, const std::vector<int64_t>& x_rows,
                        const std::vector<int64_t>& first, const Arithmetic& how) {
  const std::vector<double> seen = how.int8 ? int8_rounded(x) : x.values;
  double error = 0, norm = 0;
  for (int64_t p = 0; p < y.rows; p++)
    for (int64_t j = 0; j < y.cols; j++) {
      const int64_t x_row = x_rows[static_cast<size_t>(p)], w_row = first[static_cast<size_t>(p)] + j;
      const Reference r = reference_dot(seen.data() + x_row * x.cols, w.values.data() + w_row * w.cols, w.cols);
      const double got = static_cast<double>(to_float(y.type, y.bytes.data(), p * y.cols + j));
      ASSERT_LE(std::fabs(got - r.value), (1e-5 + how.rounding) * r.magnitude + storage_error(y.type) * std::fabs(r.value) + 1e-30)
          << describe(x.type) << " * " << describe(w.type) << " -> " << describe(y.type) << " rows " << y.rows << " n " << y.cols << " k "
          << x.cols << " at " << p << ", " << j << ": " << got << " for " << r.value;
      const double exact = reference_dot(x.values.data() + x_row * x.cols, w.values.data() + w_row * w.cols, w.cols).value;
      error += (got - exact) * (got - exact);
      norm += exact * exact;
    }
  // Random signs cancel in small products: the share of rounding is meaningful over many outputs.
  if (y.rows * y.cols >= 100) {
    EXPECT_LE(std::sqrt(error), 1.5e-2 * std::sqrt(norm)) << describe(w.type);
  }
}

}  // namespace infernum
