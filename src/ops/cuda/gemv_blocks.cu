// Products of few rows with GGUF blocks: rounds 16-bit activations to int8 blocks and picks the kernel of the weights' type.
#include "ops/cuda/gemv_blocks.cuh"

namespace infernum::cuda {
namespace {

constexpr int threads = 256;

/// Floor: nothing but latency. Eight elements a thread, four threads a block of 32. Grid: (k / 8 / threads, rows).
/// A block with an element that is not finite gets the scale NaN, so that it shows in every sum.
template <class X>
__global__ void __launch_bounds__(threads) round_to_int8(const X* x, int64_t stride, int64_t rows, int64_t k, int8_t* q, ScaleSum* scales) {
  const int64_t octet = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (octet * 8 >= k) return;  // whole groups of four threads leave: k is a multiple of 32
  const unsigned group = 0xfu << (threadIdx.x % 32 / 4 * 4);
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    const X* in = x + row * stride + 8 * octet;
    float values[8], largest = 0;
    for (int i = 0; i < 8; i++) {
      values[i] = to_float(in[i]);
      const float size = fabsf(values[i]);
      largest = size <= 3.402823466e38f ? fmaxf(largest, size) : not_a_number();
      if (isnan(largest)) break;
    }
    for (int step = 1; step < 4; step *= 2) {
      const float other = __shfl_xor_sync(group, largest, step);
      largest = isnan(largest) || isnan(other) ? not_a_number() : fmaxf(largest, other);
    }
    // Below this the inverse is no longer finite; such values vanish beside any others.
    const float inverse = largest >= 2e-36f ? 127 / largest : 0;
    uint32_t words[2] = {0, 0};
    int sum = 0;
    if (inverse > 0)
      for (int i = 0; i < 8; i++) {
        const int rounded = __float2int_rn(values[i] * inverse);
        words[i / 4] |= (static_cast<uint32_t>(rounded) & 255) << i % 4 * 8;
        sum += rounded;
      }
    for (int step = 1; step < 4; step *= 2) sum += __shfl_xor_sync(group, sum, step);
    *reinterpret_cast<uint2*>(q + row * k + 8 * octet) = make_uint2(words[0], words[1]);
    const float scale = largest / 127;
    if (octet % 4 == 0) scales[row * (k / 32) + octet / 4] = {scale, scale * static_cast<float>(sum)};
  }
}

}  // namespace

void gemv_blocks(Queue<Cuda>& q, std::string_view op, const Operands& a) {
  const auto multiply = [&](const Int8Rows* x) {
    if (info(a.w_type).block == 32) return gemv_simple_blocks(q, op, a, x);
    if (a.w_type >= DType::Q2_K && a.w_type <= DType::Q6_K) return gemv_k_blocks(q, op, a, x);
    gemv_other_blocks(q, op, a, x);
  };
  if (a.x_type == DType::F32) return multiply(nullptr);
  const int64_t rows = a.chosen.ids ? (a.m + a.chosen.share - 1) / a.chosen.share : a.m, bytes = (rows * a.k + 15) / 16 * 16;
  const auto memory = q.memory.allocate(bytes + rows * (a.k / 32) * static_cast<int64_t>(sizeof(ScaleSum)));
  auto* quants = static_cast<int8_t*>(memory.get());
  auto* scales = reinterpret_cast<ScaleSum*>(quants + bytes);
  dispatch_float(a.x_type, [&](auto tag) {
    using X = typename decltype(tag)::type;
    const dim3 grid(static_cast<unsigned>((a.k / 8 + threads - 1) / threads), static_cast<unsigned>(std::min<int64_t>(rows, 65535)));
    launch(q, op, round_to_int8<X>, {grid, threads}, {}, static_cast<const X*>(a.x), a.x_stride, rows, a.k, quants, scales);
  });
  const Int8Rows x{quants, scales};
  multiply(&x);
}

}  // namespace infernum::cuda
