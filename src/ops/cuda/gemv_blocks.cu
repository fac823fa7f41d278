// Products of few rows with GGUF blocks: says where 16-bit activations are rounded to int8 and picks the kernel of the weights' type.
#include "ops/cuda/gemv_blocks.cuh"

namespace infernum::cuda {
namespace {

constexpr int threads = 256;

/// So many activations are rounded by every block for itself: that takes less than a kernel of their own would.
constexpr int64_t most_rounded_by_blocks = 20480;

/// Floor: nothing but latency. An octet a thread. Grid: octets / threads.
template <class X>
__global__ void __launch_bounds__(threads) round_to_int8(const X* x, int64_t stride, int64_t rows, int64_t k, Int8Rows out) {
  const int64_t octet = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (octet < rows * k / 8) round_octet(x, stride, k, octet, out);  // k is a multiple of 32: groups of four threads stay or leave
}

}  // namespace

void gemv_blocks(Queue<Cuda>& q, std::string_view op, const Operands& a) {
  const auto multiply = [&](const Activations& x) {
    if (info(a.w_type).block == 32) return gemv_simple_blocks(q, op, a, x);
    if (a.w_type >= DType::Q2_K && a.w_type <= DType::Q6_K) return gemv_k_blocks(q, op, a, x);
    gemv_other_blocks(q, op, a, x);
  };
  const int64_t rows = a.chosen.ids ? (a.m + a.chosen.share - 1) / a.chosen.share : a.m;
  if (a.x_type == DType::F32 || ((a.chosen.ids || a.m == 1) && rows * a.k <= most_rounded_by_blocks)) return multiply({{}, rows, false});
  const int64_t runs = rows * (a.k / 32);
  const auto memory = q.memory.allocate(runs * Int8Rows::bytes_of_run);
  const Int8Rows x = Int8Rows::at(memory.get(), runs);
  dispatch_float(a.x_type, [&](auto tag) {
    using X = typename decltype(tag)::type;
    const dim3 grid(static_cast<unsigned>((runs * 4 + threads - 1) / threads));
    launch(q, op, round_to_int8<X>, {grid, threads}, {}, static_cast<const X*>(a.x), a.x_stride, rows, a.k, x);
  });
  multiply({x, rows, true});
}

}  // namespace infernum::cuda
