// map_rows(): y = f(inputs...) element by element over rows of any float types. Bound by memory: every argument is read or written once, in
// 16-byte accesses where all rows are aligned to them.
#pragma once
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "backends/cuda/device.cuh"
#include "backends/cuda/launch.cuh"

namespace infernum::cuda {

/// Row r of a kernel's input is row index[r] of a table.
template <class T>
struct IndexedRows {
  T* data;
  int64_t stride;
  const int32_t* index;
  __device__ T* operator[](int64_t r) const { return data + index[r] * stride; }
};

/// The same row for every r.
template <class T>
Rows<T> repeated(const View<Cuda>& v) {
  return {static_cast<T*>(v.data), 0};
}

/// p[0 .. V-1] as floats, zeros from `count` on; one wide access where `vectors` says that p is aligned.
template <int V, class T>
__device__ Pack<float, V> load(const T* p, int64_t count, bool vectors) {
  Pack<float, V> x;
  if (vectors && count >= V) {
    const auto raw = *reinterpret_cast<const Pack<T, V>*>(p);
#pragma unroll
    for (int i = 0; i < V; i++) x.values[i] = to_float(raw.values[i]);
  } else {
#pragma unroll
    for (int i = 0; i < V; i++) x.values[i] = i < count ? to_float(p[i]) : 0.f;
  }
  return x;
}

template <int V, class T>
__device__ void store(T* p, const Pack<float, V>& x, int64_t count, bool vectors) {
  if (vectors && count >= V) {
    Pack<T, V> raw;
#pragma unroll
    for (int i = 0; i < V; i++) raw.values[i] = from_float<T>(x.values[i]);
    // As words: nvcc splits some assignments of the struct into its elements.
    using Word = std::conditional_t<sizeof raw == 8, uint2, uint4>;
    static_assert(sizeof raw % sizeof(Word) == 0);
#pragma unroll
    for (size_t i = 0; i < sizeof raw / sizeof(Word); i++) {
      Word word;
      memcpy(&word, reinterpret_cast<const char*>(&raw) + i * sizeof word, sizeof word);
      reinterpret_cast<Word*>(p)[i] = word;
    }
  } else {
#pragma unroll
    for (int i = 0; i < V; i++)
      if (i < count) p[i] = from_float<T>(x.values[i]);
  }
}

/// Whether V elements from any multiple of V on, in each of `n` rows, are aligned for load() and store().
template <int V, class T>
bool aligned(const Rows<T>& rows, int64_t n) {
  constexpr size_t bytes = std::min<size_t>(sizeof(T) * V, 16);
  return reinterpret_cast<uintptr_t>(rows.data) % bytes == 0 && (n <= 1 || rows.stride % V == 0);
}
template <int V, class T>
bool aligned(const IndexedRows<T>& rows, int64_t) {
  return aligned<V>(Rows<T>{rows.data, rows.stride}, 2);  // even one row may lie anywhere
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// A thread per unit of a row and per row; whoever takes more rows than the grid is high strides over them by row_step().
inline Grid row_grid(int64_t rows, int64_t units) {
  unsigned width = 1;
  while (width < units && width < 256) width *= 2;
  const unsigned height = 256 / width;
  return {dim3(static_cast<unsigned>(ceil_div(units, width)), static_cast<unsigned>(std::min<int64_t>(65535, ceil_div(rows, height)))),
          dim3(width, height)};
}
__device__ inline int64_t first_unit() { return int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }
__device__ inline int64_t first_row() { return int64_t{blockIdx.y} * blockDim.y + threadIdx.y; }
__device__ inline int64_t row_step() { return int64_t{gridDim.y} * blockDim.y; }

/// f itself, or f.row(r) for functions that differ from row to row.
template <class F>
__device__ auto function_of_row(const F& f, int64_t r) {
  if constexpr (requires { f.row(r); })
    return f.row(r);
  else
    return f;
}

/// Floor: bytes of y and of the inputs. Grid: V columns a thread, rows in y; no thread waits for another.
template <int V, class F, class Y, class... In>
__global__ void map_rows_kernel(Rows<Y> y, int64_t n_rows, int64_t cols, bool vectors, F f, In... in) {
  begin_early();
  const int64_t c = first_unit() * V, count = cols - c;
  if (count <= 0) return;
  for (int64_t r = first_row(); r < n_rows; r += row_step()) {
    const auto g = function_of_row(f, r);
    const auto apply = [&](const auto&... x) {
      Pack<float, V> out;
#pragma unroll
      for (int i = 0; i < V; i++) out.values[i] = g(x.values[i]...);
      store<V>(y[r] + c, out, count, vectors);
    };
    apply(load<V>(in[r] + c, count, vectors)...);
  }
}

template <class F, class Y, class... In>
void map_rows(Queue<Cuda>& q, std::string_view op, std::initializer_list<const View<Cuda>*> shown, int64_t n_rows, int64_t cols, const F& f,
              Rows<Y> y, In... in) {
  constexpr int V = 16 / std::max({sizeof(Y), sizeof(*in.data)...});
  const bool vectors = aligned<V>(y, n_rows) && (aligned<V>(in, n_rows) && ...);
  Grid grid = row_grid(n_rows, ceil_div(cols, V));
  grid.early = true;
  launch(q, op, map_rows_kernel<V, F, Y, In...>, grid, shown, y, n_rows, cols, vectors, f, in...);
}

inline bool packed(const View<Cuda>& v) { return v.stride == v.cols() || v.rows() <= 1; }

/// y = f(inputs...) where all are of y's float type; packed tensors count as one long row.
template <class F, class... In>
void map_elements(Queue<Cuda>& q, std::string_view op, const F& f, const View<Cuda>& y, const In&... in) {
  check(((in.dtype == y.dtype) && ...), "elementwise: arguments and result are of one dtype", op, info(y.dtype).name,
        info(in.dtype).name...);
  const bool one_row = packed(y) && (packed(in) && ...);
  const int64_t n_rows = one_row ? 1 : y.rows(), cols = one_row ? y.elements() : y.cols();
  cuda::dispatch_float(y.dtype, [&]<class T>(Type<T>) {
    map_rows(q, op, {&y, &in...}, n_rows, cols, f, rows<T>(y), rows<const T>(in)...);
  });
}

}  // namespace infernum::cuda
