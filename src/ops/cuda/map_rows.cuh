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

/// p[0 .. V-1]; V of 1, or p aligned as aligned() tells.
template <int V, class T>
__device__ Pack<std::remove_const_t<T>, V> load_raw(T* p) {
  return *reinterpret_cast<const Pack<std::remove_const_t<T>, V>*>(p);
}
template <int V, class T>
__device__ Pack<float, V> widen(const Pack<T, V>& raw) {
  Pack<float, V> x;
#pragma unroll
  for (int i = 0; i < V; i++) x.values[i] = to_float(raw.values[i]);
  return x;
}
template <int V, class T>
__device__ Pack<float, V> load(T* p) {
  return widen(load_raw<V>(p));
}

/// The 32 bits of one float, or of two neighbours as 16-bit floats.
template <class T>
__device__ uint32_t word_of(const float* x) {
  if constexpr (std::is_same_v<T, float>) {
    return __float_as_uint(*x);
  } else {
    uint32_t bits;
    if constexpr (std::is_same_v<T, __half>) {
      const __half2 pair = __floats2half2_rn(x[0], x[1]);
      memcpy(&bits, &pair, sizeof bits);
    } else {
      const __nv_bfloat162 pair = __floats2bfloat162_rn(x[0], x[1]);
      memcpy(&bits, &pair, sizeof bits);
    }
    return bits;
  }
}

/// The inverse of load(). By words and __stwb, since nvcc splits some assignments of packs into their elements.
template <int V, class T>
__device__ void store(T* p, const Pack<float, V>& x) {
  if constexpr (V == 1) {
    *p = from_float<T>(x.values[0]);
  } else {
    constexpr int in_word = 4 / sizeof(T), words = V / in_word;
    static_assert(words == 2 || words % 4 == 0);
    const auto word = [&](int i) { return word_of<T>(x.values + i * in_word); };
    if constexpr (words == 2) {
      __stwb(reinterpret_cast<uint2*>(p), make_uint2(word(0), word(1)));
    } else {
#pragma unroll
      for (int i = 0; i < words; i += 4)
        __stwb(reinterpret_cast<uint4*>(p) + i / 4, make_uint4(word(i), word(i + 1), word(i + 2), word(i + 3)));
    }
  }
}

/// Whether load() and store() may take V elements from any multiple of V on, in each of `n` rows.
template <int V, class T>
bool aligned(const Rows<T>& rows, int64_t n) {
  constexpr size_t bytes = std::min<size_t>(sizeof(T) * V, 16);
  return reinterpret_cast<uintptr_t>(rows.data) % bytes == 0 && (n <= 1 || rows.stride % V == 0);
}
template <int V, class T>
bool aligned(const IndexedRows<T>& rows, int64_t) {
  return aligned<V>(Rows<T>{rows.data, rows.stride}, 2);  // even one row may lie anywhere
}

/// An int as a type.
template <int V>
struct Width {
  static constexpr int value = V;
};
/// Calls f(Width<V>{}) where whole packs of V fit, else f(Width<1>{}).
template <int V, class F>
void with_width(bool fits, const F& f) {
  if (fits)
    f(Width<V>{});
  else
    f(Width<1>{});
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
__global__ void map_rows_kernel(Rows<Y> y, int64_t n_rows, int64_t cols, F f, In... in) {
  begin_early();
  const int64_t c = first_unit() * V;
  if (c >= cols) return;
  for (int64_t r = first_row(); r < n_rows; r += row_step()) {
    const auto g = function_of_row(f, r);
    const auto apply = [&](const auto&... x) {
      Pack<float, V> out;
#pragma unroll
      for (int i = 0; i < V; i++) out.values[i] = g(x.values[i]...);
      store<V>(y[r] + c, out);
    };
    apply(load<V>(in[r] + c)...);
  }
}

template <class F, class Y, class... In>
void map_rows(Queue<Cuda>& q, std::string_view op, std::initializer_list<const View<Cuda>*> shown, int64_t n_rows, int64_t cols, const F& f,
              Rows<Y> y, In... in) {
  constexpr int most = 16 / std::max({sizeof(Y), sizeof(*in.data)...});
  const bool fits = cols % most == 0 && aligned<most>(y, n_rows) && (aligned<most>(in, n_rows) && ...);
  with_width<most>(fits, [&]<int V>(Width<V>) {
    Grid grid = row_grid(n_rows, ceil_div(cols, V));
    grid.early = true;
    launch(q, op, map_rows_kernel<V, F, Y, In...>, grid, shown, y, n_rows, cols, f, in...);
  });
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
