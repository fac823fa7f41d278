// BlasLt: cuBLASLt, loaded when first needed, so that a program with the CUDA backend starts on machines without CUDA's libraries.
#pragma once
#include <memory>
#include <span>
#include <string>

#include "core/view.h"

namespace infernum {

class BlasLt {
 public:
  /// Throws Error that names what to install when there is no cuBLASLt. The device of the queue it belongs to is current.
  BlasLt();
  ~BlasLt();
  BlasLt(const BlasLt&) = delete;
  BlasLt& operator=(const BlasLt&) = delete;

  /// Whether multiply() takes the types: x and w of one float type, y of the same or F32.
  static bool takes(DType y, DType x, DType w) { return is_float(x) && x == w && (y == x || y == DType::F32); }

  /// y (m, n) = x (m, k) * w (n, k)^T with strides, submitted to the queue; accumulates in f32, F32 without TF32. Nothing is empty.
  /// False, and nothing done, where cuBLASLt has no algorithm for the sizes, strides and addresses.
  bool multiply(Queue<Cuda>& queue, const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& w);

  /// Times the algorithms that cuBLASLt advises for products of `rows` rows of x with matrices of one shape and type, which take turns so
  /// that none lies in the cache, and keeps the fastest for multiply(). Findings are kept in `file` and read from there the next time; an
  /// empty name: not kept. Takes about a second a shape; not while a graph is recorded.
  void search(Queue<Cuda>& queue, std::span<const View<Cuda>> w, DType x, DType y, std::span<const int64_t> rows, const std::string& file);

 private:
  struct Library;
  struct State;
  std::unique_ptr<State> state_;
};

/// Where findings of searches are kept: in the user's cache folder; empty where there is none.
std::string blas_findings_file();

}  // namespace infernum
