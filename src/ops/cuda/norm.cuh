// norm_rows(): RMS and layer norms of rows, of what a source reads or makes. Bound by memory; at few rows by latency, so a row is read
// once, by as many threads as keep it in eight registers each.
#pragma once
#include "ops/cuda/map_rows.cuh"

namespace infernum::cuda {

/// A source of rows to norm. read() only loads, so that all loads of a thread are on their way before it needs one; keep() sees every
/// element once.
template <class X>
struct InputRows {
  Rows<const X> x;
  template <int V>
  __device__ Pack<X, V> read(int64_t r, int64_t c) const {
    return load_raw<V>(x[r] + c);
  }
  template <int V>
  __device__ Pack<float, V> value(const Pack<X, V>& raw) const {
    return widen(raw);
  }
  template <int V>
  __device__ void keep(int64_t, int64_t, const Pack<float, V>&) const {}
};

/// Sum over the threads of a row: the blockDim.x <= 32 (a power of two) neighbours of one warp, or the block.
__device__ inline float row_sum(float x) {
  if (blockDim.x > 32) return block_sum(x);
  for (unsigned step = blockDim.x / 2; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, static_cast<int>(step));
  return x;
}

template <int V>
__device__ float sum_of_squares(const Pack<float, V>& x, float center) {
  float total = 0;
#pragma unroll
  for (int i = 0; i < V; i++) total += (x.values[i] - center) * (x.values[i] - center);
  return total;
}
template <int V>
__device__ float sum(const Pack<float, V>& x) {
  float total = 0;
#pragma unroll
  for (int i = 0; i < V; i++) total += x.values[i];
  return total;
}

/// y = (x - mean) / sqrt(variance + eps) * w, mean 0 unless `centered`; w nullptr: ones. Floor: bytes of x and y. Grid: a block per row, or
/// blockDim.y short rows per block; every thread holds the 8 / V packs of V columns that lie blockDim.x packs apart.
template <int V, bool centered, class Source, class Y>
__global__ __launch_bounds__(1024) void norm_rows_kernel(Rows<Y> y, Source source, const float* w, int64_t n_rows, int64_t n, float eps) {
  constexpr int packs = 8 / V;
  begin_early();
  const int64_t r = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  const int64_t width = r < n_rows ? n : 0;  // lanes of a warp sum together, so those past the last row stay, with nothing
  const int64_t step = int64_t{blockDim.x} * V, begin = int64_t{threadIdx.x} * V;
  decltype(source.template read<V>(r, begin)) raw[packs];
  Pack<float, V> x[packs], g[packs];
#pragma unroll
  for (int p = 0; p < packs; p++)
    if (begin + p * step < width) raw[p] = source.template read<V>(r, begin + p * step);
#pragma unroll
  for (int p = 0; p < packs; p++)
    if (w && begin + p * step < width) g[p] = load<V>(w + begin + p * step);
#pragma unroll
  for (int p = 0; p < packs; p++) {
    if (begin + p * step >= width) continue;
    x[p] = source.value(raw[p]);
    source.keep(r, begin + p * step, x[p]);
  }
  float mean = 0, squares = 0, total = 0;
  for (int64_t c = begin + packs * step; c < width; c += step) {
    const auto more = source.value(source.template read<V>(r, c));
    source.keep(r, c, more);
    total += sum(more);
    squares += sum_of_squares(more, 0);
  }
  if constexpr (centered) {
#pragma unroll
    for (int p = 0; p < packs; p++)
      if (begin + p * step < width) total += sum(x[p]);
    mean = row_sum(total) / static_cast<float>(n);
    squares = 0;
    for (int64_t c = begin + packs * step; c < width; c += step)
      squares += sum_of_squares(source.value(source.template read<V>(r, c)), mean);
  }
#pragma unroll
  for (int p = 0; p < packs; p++)
    if (begin + p * step < width) squares += sum_of_squares(x[p], mean);
  const float factor = rsqrtf(row_sum(squares) / static_cast<float>(n) + eps);
  const auto finish = [&](Pack<float, V> v, const Pack<float, V>& weight, int64_t c) {
#pragma unroll
    for (int i = 0; i < V; i++) v.values[i] = (v.values[i] - mean) * factor * (w ? weight.values[i] : 1.f);
    store<V>(y[r] + c, v);
  };
#pragma unroll
  for (int p = 0; p < packs; p++)
    if (begin + p * step < width) finish(x[p], g[p], begin + p * step);
  for (int64_t c = begin + packs * step; c < width; c += step)
    finish(source.value(source.template read<V>(r, c)), w ? load<V>(w + c) : Pack<float, V>{}, c);
}

/// `fits`: the source's rows are aligned for packs of `most` columns.
template <int most, bool centered, class Source, class Y>
void norm_rows(Queue<Cuda>& q, std::string_view op, std::initializer_list<const View<Cuda>*> shown, const View<Cuda>& y, Rows<Y> out,
               const Source& source, const View<Cuda>& w, float eps, bool fits) {
  const int64_t n_rows = y.rows(), n = y.cols();
  if (n_rows == 0 || n == 0) return;
  const Rows<const float> weight{static_cast<const float*>(w.data), 0};
  unsigned width = 1, height = 1;
  while (width < 32 && width * 8 < n) width *= 2;
  if (width * 8 < n)
    width = static_cast<unsigned>(std::min<int64_t>(1024, ceil_div(n, 256) * 32));
  else
    height = 256 / width;
  const Grid grid{dim3(static_cast<unsigned>(ceil_div(n_rows, height))), dim3(width, height), 0, true};
  with_width<most>(fits && n % most == 0 && aligned<most>(out, n_rows) && aligned<most>(weight, 1), [&]<int V>(Width<V>) {
    launch(q, op, norm_rows_kernel<V, centered, Source, Y>, grid, shown, out, source, weight.data, n_rows, n, eps);
  });
}

}  // namespace infernum::cuda
