// Products of few rows with float weights: warps stream rows of w with 16-byte loads, several in flight.
#include "ops/cuda/products.cuh"

namespace infernum::cuda {
namespace {

constexpr int warps = 8;  // of a block

/// Products of larger matrices do not begin early: blocks that wait take the place of those that read. On an H100 early products made a
/// step of 1B and 4B BF16 5 % shorter and one of 8B 5 % longer.
constexpr int64_t most_early_bytes = int64_t{64} << 20;

template <class T>
constexpr int per_load = 16 / sizeof(T);

/// Sums of the `split` warps that share rows, in the order of the warps; the result is in the first of them.
template <int R, int M>
__device__ void join(float (&sum)[R][M], int split) {
  if (split == 1) return;
  __shared__ float parts[warps][R * M];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int i = 0; i < R * M; i++)
    if (lane == i % 32) parts[warp][i] = sum[i / M][i % M];
  __syncthreads();
  if (warp % split != 0) return;
  for (int i = 0; i < R * M; i++)
    for (int s = 1; s < split; s++) sum[i / M][i % M] += parts[warp + s][i];
}

/// Floor: the bytes of w over the memory's bandwidth. A warp owns R rows of w and a split-th of k, `split` warps of a block the same rows;
/// each lane holds U * R loads of 16 bytes in flight, the first of them before the activations are there. Grid: (n / (R * warps / split),
/// pairs). k is a multiple of a load, all rows aligned.
template <class X, class W, int M, int R, int U>
__global__ void __launch_bounds__(warps * 32) stream_rows(Operands a, int split) {
  constexpr int V = per_load<W>;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * (warps / split) + warp / split) * R;
  let_successor_begin();
  if (a.chosen.ids) wait_for_predecessor();  // it may have chosen
  const Source from = source(a, blockIdx.y);
  const int rows = static_cast<int>(min(a.m, int64_t{M}));
  const W* w[R];
  const X* x[M];
  for (int r = 0; r < R; r++) w[r] = reinterpret_cast<const W*>(from.w) + min(first + r, a.n - 1) * a.w_stride;
  for (int j = 0; j < M; j++) x[j] = static_cast<const X*>(a.x) + (from.x_row + min(j, rows - 1)) * a.x_stride;
  float sum[R][M] = {};
  const int loads = static_cast<int>(a.k / V), step = 32 * split;
  uint4 weights[U][R];
  const auto load = [&](int c0) {
#pragma unroll
    for (int u = 0; u < U; u++)
#pragma unroll
      for (int r = 0; r < R; r++) {
        weights[u][r] = load_streaming(w[r] + static_cast<int64_t>(min(c0 + u * step, loads - 1)) * V);
      }
  };
  int c0 = warp % split * 32 + lane;
  load(c0);
  if (!a.chosen.ids) wait_for_predecessor();
  while (c0 < loads) {
#pragma unroll
    for (int u = 0; u < U; u++) {
      const int c = c0 + u * step;
      if (c >= loads) break;
      Pack<W, V> values[R];
#pragma unroll
      for (int r = 0; r < R; r++) {
        uint4& bits = weights[u][r];  // kept as they are until here: as floats they would fill twice the registers
        asm volatile("" : "+r"(bits.x), "+r"(bits.y), "+r"(bits.z), "+r"(bits.w));
        values[r] = *reinterpret_cast<const Pack<W, V>*>(&bits);
      }
#pragma unroll
      for (int j = 0; j < M; j++) {
        const auto in = *reinterpret_cast<const Pack<X, V>*>(x[j] + static_cast<int64_t>(c) * V);
#pragma unroll
        for (int r = 0; r < R; r++)
#pragma unroll
          for (int i = 0; i < V; i++) sum[r][j] = fmaf(to_float(values[r].values[i]), to_float(in.values[i]), sum[r][j]);
      }
    }
    c0 += step * U;
    if (c0 < loads) load(c0);
  }
#pragma unroll
  for (int r = 0; r < R; r++)
#pragma unroll
    for (int j = 0; j < M; j++) sum[r][j] = warp_sum(sum[r][j]);
  join(sum, split);
  if (lane != 0 || warp % split != 0) return;
#pragma unroll
  for (int r = 0; r < R; r++)
#pragma unroll
    for (int j = 0; j < M; j++)
      if (first + r < a.n && j < rows) store(a, from.y_row + j, first + r, from.valid ? sum[r][j] : not_a_number());
}

/// For odd k and rows at odd addresses: a warp per element of y. Grid: (n / warps, rows of y); any m.
template <class X, class W>
__global__ void __launch_bounds__(warps * 32) any_rows(Operands a) {
  const int lane = threadIdx.x % 32;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * warps + threadIdx.x / 32;
  if (row >= a.n) return;
  for (int64_t j = blockIdx.y; j < a.m; j += gridDim.y) {
    const Source from = source(a, j);
    const W* w = reinterpret_cast<const W*>(from.w) + row * a.w_stride;
    const X* x = static_cast<const X*>(a.x) + (a.chosen.ids ? from.x_row : j) * a.x_stride;
    float sum = 0;
    for (int64_t i = lane; i < a.k; i += 32) sum = fmaf(to_float(w[i]), to_float(x[i]), sum);
    sum = warp_sum(sum);
    if (lane == 0) store(a, j, row, from.valid ? sum : not_a_number());
  }
}

/// Warps that share a row: so many that the device has work for about 16 warps a multiprocessor, while each still has a few loads.
int split_of(const Queue<Cuda>& q, int64_t row_groups, int64_t loads) {
  int split = 1;
  while (split < warps && row_groups * split < 16 * q.properties.multiprocessors && loads >= 64 * split) split *= 2;
  return split;
}

template <class X, class W, int M, int R, int U>
void launch_stream(Queue<Cuda>& q, std::string_view op, const Operands& a) {
  const int64_t groups = (a.n + R - 1) / R, pairs = a.chosen.ids ? a.m : 1;
  const int split = split_of(q, groups * pairs, a.k / per_load<W>);
  const int64_t per_block = warps / split;
  Operands b = a;
  if (a.chosen.ids) b.m = 1;
  const bool early = a.n * a.k * static_cast<int64_t>(sizeof(W)) <= most_early_bytes;
  launch(q, op, stream_rows<X, W, M, R, U>,
         {dim3(static_cast<unsigned>((groups + per_block - 1) / per_block), static_cast<unsigned>(pairs)), warps * 32, 0, early}, {}, b,
         split);
}

template <class X, class W>
void gemv_of(Queue<Cuda>& q, std::string_view op, const Operands& a) {
  const auto aligned_rows = [](const void* p, int64_t stride, size_t element, int64_t rows) {
    return divides(16, p) && (rows <= 1 || stride * static_cast<int64_t>(element) % 16 == 0);
  };
  const bool fast = a.k > 0 && a.k % per_load<W> == 0 && a.k % per_load<X> == 0 && aligned_rows(a.x, a.x_stride, sizeof(X), a.m) &&
                    aligned_rows(a.w, a.w_stride, sizeof(W), a.n) && a.chosen.step % 16 == 0 && (a.chosen.ids || a.m <= gemv_rows);
  if (!fast) {
    const auto y = static_cast<unsigned>(std::min<int64_t>(a.m, 65535));
    return launch(q, op, any_rows<X, W>, {dim3(static_cast<unsigned>((a.n + warps - 1) / warps), y), warps * 32}, {}, a);
  }
  // One row of w a warp where rows are few, so that more warps have work.
  const bool many = a.n >= int64_t{2} * warps * 4 * q.properties.multiprocessors;
  if (a.m == 1 || a.chosen.ids) return many ? launch_stream<X, W, 1, 2, 4>(q, op, a) : launch_stream<X, W, 1, 1, 4>(q, op, a);
  if (a.m == 2) return launch_stream<X, W, 2, 2, 4>(q, op, a);
  if (a.m <= 4) return launch_stream<X, W, 4, 2, 4>(q, op, a);
  launch_stream<X, W, 8, 4, 2>(q, op, a);
}

}  // namespace

void gemv(Queue<Cuda>& q, std::string_view op, const Operands& a) {
  dispatch_float(a.x_type, [&](auto x) {
    dispatch_float(a.w_type, [&](auto w) { gemv_of<typename decltype(x)::type, typename decltype(w)::type>(q, op, a); });
  });
}

}  // namespace infernum::cuda
