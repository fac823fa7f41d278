// Products of a few rows with 16-bit weights on tensor cores, which multiply what the memory delivers without effort.
#include "ops/cuda/products.cuh"

namespace infernum::cuda {
namespace {

constexpr int warps = 8;       // of a block: they share rows of w and divide k
constexpr int tile_rows = 16;  // of w, a block
constexpr int unroll = 4;      // steps of 32 elements of k under way

template <class T>
__device__ void multiply_tile(float (&sum)[4], const uint32_t (&w)[4], uint32_t x0, uint32_t x1) {
  if constexpr (std::is_same_v<T, __half>)
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]), "r"(x0), "r"(x1));
  else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]), "r"(x0), "r"(x1));
}

/// Floor: the bytes of w over the memory's bandwidth. A block owns 16 rows of w, which are the rows of the tiles that are multiplied;
/// their columns are the rows of x, 8 N at most. Its warps take turns along k, and their sums are added in the order of the warps.
/// A lane loads 16 neighbouring bytes of two rows. Those are not the elements of k that its fragment of a tile has names for, yet as x is
/// loaded likewise, the same elements meet. Grid: n / 16. k is a multiple of 8, all rows lie at multiples of 16 bytes.
template <class T, int N>
__global__ void __launch_bounds__(warps * 32) multiply_skinny(Operands a) {
  __shared__ float parts[warps][tile_rows][8 * N + 1];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, row = lane / 4, part = lane % 4;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * tile_rows;
  let_successor_begin();
  const T* w[2];
  const T* x[N];
  for (int i = 0; i < 2; i++) w[i] = static_cast<const T*>(a.w) + min(first + row + 8 * i, a.n - 1) * a.w_stride;
  for (int j = 0; j < N; j++) x[j] = static_cast<const T*>(a.x) + min(static_cast<int64_t>(row + 8 * j), a.m - 1) * a.x_stride;
  float sum[N][4] = {};
  uint4 weights[unroll][2];
  const auto load = [&](int64_t k0) {
#pragma unroll
    for (int u = 0; u < unroll; u++)
#pragma unroll
      for (int i = 0; i < 2; i++) weights[u][i] = k0 + 32 * u < a.k ? load_streaming(w[i] + k0 + 32 * u) : uint4{};
  };
  int64_t k0 = (warp * unroll * 4 + part) * 8;
  load(k0);
  wait_for_predecessor();
  while (k0 - part * 8 < a.k) {  // the same for all lanes
    uint4 in[unroll][N];
#pragma unroll
    for (int u = 0; u < unroll; u++)
#pragma unroll
      for (int j = 0; j < N; j++) in[u][j] = k0 + 32 * u < a.k ? *reinterpret_cast<const uint4*>(x[j] + k0 + 32 * u) : uint4{};
#pragma unroll
    for (int u = 0; u < unroll; u++) {
      const uint32_t low[4] = {weights[u][0].x, weights[u][1].x, weights[u][0].y, weights[u][1].y};
      const uint32_t high[4] = {weights[u][0].z, weights[u][1].z, weights[u][0].w, weights[u][1].w};
#pragma unroll
      for (int j = 0; j < N; j++) {
        multiply_tile<T>(sum[j], low, in[u][j].x, in[u][j].y);
        multiply_tile<T>(sum[j], high, in[u][j].z, in[u][j].w);
      }
    }
    k0 += warps * unroll * 32;
    load(k0);
  }
#pragma unroll
  for (int j = 0; j < N; j++)
#pragma unroll
    for (int i = 0; i < 4; i++) parts[warp][row + i / 2 * 8][8 * j + 2 * part + i % 2] = sum[j][i];
  __syncthreads();
  for (int i = threadIdx.x; i < tile_rows * 8 * N; i += warps * 32) {
    const int col = i % tile_rows, token = i / tile_rows;  // neighbouring threads write neighbouring elements of y
    float total = 0;
    for (int s = 0; s < warps; s++) total += parts[s][col][token];
    if (token < a.m && first + col < a.n) store(a, token, first + col, total);
  }
}

template <class T>
void launch_skinny(Queue<Cuda>& q, std::string_view op, const Operands& a) {
  const Grid grid{dim3(static_cast<unsigned>((a.n + tile_rows - 1) / tile_rows)), warps * 32, 0, true};
  if (a.m <= 8)
    launch(q, op, multiply_skinny<T, 1>, grid, {}, a);
  else
    launch(q, op, multiply_skinny<T, 2>, grid, {}, a);
}

}  // namespace

bool skinny_product(Queue<Cuda>& q, std::string_view op, const Operands& a) {
  const auto aligned = [](const void* p, int64_t stride, int64_t rows) { return divides(16, p) && (rows == 1 || stride % 8 == 0); };
  if (a.x_type != a.w_type || a.x_type == DType::F32 || a.m > skinny_rows || a.k == 0 || a.k % 8 != 0 || !aligned(a.x, a.x_stride, a.m) ||
      !aligned(a.w, a.w_stride, a.n))
    return false;
  if (a.x_type == DType::F16)
    launch_skinny<__half>(q, op, a);
  else
    launch_skinny<__nv_bfloat16>(q, op, a);
  return true;
}

}  // namespace infernum::cuda
