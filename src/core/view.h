// View: what a kernel sees of a tensor. Plain data, cheap to include from device code.
#pragma once
#include <cstdint>

#include "core/dtype.h"

namespace infernum {

struct Cpu;
struct Cuda;
struct Trace;

/// Where work of a backend is submitted: thread pool, stream, graph.
template <class B>
struct Queue;

/// Rows of `cols()` elements, `stride` elements apart; outer dimensions are packed on top of the rows. Unowned.
template <class B>
struct View {
  void* data = nullptr;
  int64_t size[4] = {};
  int64_t stride = 0;  ///< elements from one row to the next (for block types: in elements as well)
  int rank = 0;
  DType dtype = DType::F32;

  int64_t cols() const { return rank ? size[rank - 1] : 1; }
  int64_t rows() const {
    int64_t n = 1;
    for (int i = 0; i + 1 < rank; i++) n *= size[i];
    return n;
  }
  int64_t elements() const { return rows() * cols(); }
  int64_t bytes() const { return bytes_of(dtype, elements()); }
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  template <class T>
  T* row(int64_t r) const {
    return static_cast<T*>(data) + r * stride;
  }
  /// First byte of row r; also right for block types.
  char* row_bytes(int64_t r) const { return static_cast<char*>(data) + bytes_of(dtype, r * stride); }
};

}  // namespace infernum
