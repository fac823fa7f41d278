// RopeTable and Rope.
#include "ops/cuda/map_rows.cuh"
#include "ops/kernels.h"

namespace infernum {
namespace {

using cuda::load;
using cuda::Pack;
using cuda::Rows;
using cuda::store;

/// Made once per step for all layers; a thread per angle. The angle is rounded to f32 as the references do, then its sine and cosine are
/// exact: in double precision, since at positions of a million sincosf is off by more than its table may be.
__global__ void rope_table_kernel(Rows<float> table, const int32_t* positions, const float* inv_freq, int64_t n_rows, int64_t half,
                                  float scale) {
  const int64_t i = cuda::first_unit();
  if (i >= half) return;
  for (int64_t t = cuda::first_row(); t < n_rows; t += cuda::row_step()) {
    double sine, cosine;
    sincos(static_cast<double>(static_cast<float>(positions[t]) * inv_freq[i]), &sine, &cosine);
    table[t][i] = static_cast<float>(cosine) * scale;
    table[t][half + i] = static_cast<float>(sine) * scale;
  }
}

/// Turns x's element i of both packs by the angle i.
template <int V>
__device__ void rotate(Pack<float, V>& a, Pack<float, V>& b, const Pack<float, V>& cosine, const Pack<float, V>& sine) {
#pragma unroll
  for (int i = 0; i < V; i++) {
    const float u = a.values[i], v = b.values[i];
    a.values[i] = u * cosine.values[i] - v * sine.values[i];
    b.values[i] = v * cosine.values[i] + u * sine.values[i];
  }
}

/// Floor: bytes of x and y. A thread takes V pairs, or V elements of what passes through, of a head: `units` threads a head, the first
/// half / V of them pairs. y may be x: a thread reads its elements before it writes them.
template <int V, bool interleaved, class T>
__global__ void rope_kernel(Rows<T> y, Rows<const T> x, Rows<const float> table, int64_t n_rows, unsigned heads, unsigned head_dim,
                            unsigned half) {
  cuda::begin_early();
  const unsigned pair_units = half / V, units = (head_dim - half) / V;
  const auto j = static_cast<unsigned>(cuda::first_unit());
  const unsigned head = j / units, unit = j % units;
  if (head >= heads) return;
  for (int64_t t = cuda::first_row(); t < n_rows; t += cuda::row_step()) {
    const T* in = x[t] + int64_t{head} * head_dim;
    T* out = y[t] + int64_t{head} * head_dim;
    if (unit >= pair_units) {
      const unsigned c = half + unit * V;
      store<V>(out + c, load<V>(in + c));
      continue;
    }
    const unsigned i = unit * V;
    const auto cosine = load<V>(table[t] + i), sine = load<V>(table[t] + half + i);
    if constexpr (interleaved && V == 1) {
      auto a = load<V>(in + 2 * i), b = load<V>(in + 2 * i + 1);
      rotate(a, b, cosine, sine);
      store<V>(out + 2 * i, a);
      store<V>(out + 2 * i + 1, b);
    } else if constexpr (interleaved) {
      auto pairs = load<2 * V>(in + 2 * i);
      Pack<float, V> a, b;
#pragma unroll
      for (int k = 0; k < V; k++) a.values[k] = pairs.values[2 * k], b.values[k] = pairs.values[2 * k + 1];
      rotate(a, b, cosine, sine);
#pragma unroll
      for (int k = 0; k < V; k++) pairs.values[2 * k] = a.values[k], pairs.values[2 * k + 1] = b.values[k];
      store<2 * V>(out + 2 * i, pairs);
    } else {
      auto a = load<V>(in + i), b = load<V>(in + half + i);
      rotate(a, b, cosine, sine);
      store<V>(out + i, a);
      store<V>(out + half + i, b);
    }
  }
}

template <class T, bool interleaved>
void rope(Queue<Cuda>& q, const View<Cuda>& y, const View<Cuda>& x, const View<Cuda>& table, int64_t head_dim) {
  constexpr int most = 16 / sizeof(T);
  const int64_t n_rows = y.rows(), half = table.cols() / 2, heads = x.cols() / head_dim;
  const auto out = cuda::rows<T>(y);
  const auto in = cuda::rows<const T>(x);
  const auto angles = cuda::rows<const float>(table);
  check(x.cols() < int64_t{1} << 31, "rope: a row too long", x.cols());
  const bool fits = head_dim % most == 0 && half % most == 0 && cuda::aligned<most>(out, n_rows) && cuda::aligned<most>(in, n_rows) &&
                    cuda::aligned<most>(angles, n_rows);
  cuda::with_width<most>(fits, [&]<int V>(cuda::Width<V>) {
    Grid grid = cuda::row_grid(n_rows, heads * ((head_dim - half) / V));
    grid.early = true;
    launch(q, Rope::name, rope_kernel<V, interleaved, T>, grid, {&y, &x, &table}, out, in, angles, n_rows, heads, head_dim, half);
  });
}

}  // namespace

void kernel(RopeTable, Queue<Cuda>& q, View<Cuda> table, View<Cuda> positions, View<Cuda> inv_freq, float scale) {
  launch(q, RopeTable::name, rope_table_kernel, cuda::row_grid(table.rows(), inv_freq.cols()), {&table, &positions, &inv_freq},
         cuda::rows<float>(table), positions.as<const int32_t>(), inv_freq.as<const float>(), table.rows(), inv_freq.cols(), scale);
}

void kernel(Rope, Queue<Cuda>& q, View<Cuda> y, View<Cuda> x, View<Cuda> table, RopeParams p) {
  check(x.dtype == y.dtype, "rope: x and y are of one dtype", info(x.dtype).name, info(y.dtype).name);
  cuda::dispatch_float(x.dtype, [&]<class T>(cuda::Type<T>) {
    if (p.interleaved)
      rope<T, true>(q, y, x, table, p.head_dim);
    else
      rope<T, false>(q, y, x, table, p.head_dim);
  });
}

}  // namespace infernum
