// CausalConv and DeltaGateValues. The contract of the state's slots is in ops/recurrent.h.
#include "backends/cuda/launch.cuh"
#include "ops/cuda/state_slots.cuh"
#include "ops/kernels.h"

namespace infernum {
namespace {

using namespace cuda;

constexpr int threads = 128, tile_tokens = 32;

/// Floor: bytes of x and y. Grid (tiles of 32 tokens, pieces of 128 channels); a thread has a channel. The first tile of a sequence reads
/// the state it starts from and writes all states of the step, so that a slot may be both.
template <int Taps>  // at most
__global__ void conv_kernel(AnyRows y, float* state, AnyRows x, const float* weight, int64_t weight_stride, Sequences s, int channels,
                            int taps) {
  const TokenTile tile = tile_of(s, blockIdx.x, tile_tokens);
  const int c = blockIdx.y * threads + threadIdx.x;
  if (tile.tokens == 0 || c >= channels) return;
  const StateSlots slots = state_slots(s, tile.sequence);
  const int before = taps - 1;
  const auto slot_row = [&](int slot, int j) -> float& { return state[(static_cast<int64_t>(slot) * before + j) * channels + c]; };
  float w[Taps], initial[Taps];
#pragma unroll
  for (int j = 0; j < Taps; j++) w[j] = j < taps ? weight[c * weight_stride + j] : 0.f;
  const bool begins = tile.first == slots.first;
  const int from = slots.initial();
#pragma unroll
  for (int j = 0; j < Taps; j++) initial[j] = begins && from >= 0 && j < before ? slot_row(from, j) : 0.f;
  // The input of a token of this step, or one of the `before` ones that the state holds.
  const auto input = [&](int token) {
    if (token >= slots.first) return x.get(token, c);
    float u = 0;
#pragma unroll
    for (int j = 0; j < Taps; j++)
      if (j == before + token - slots.first) u = initial[j];
    return u;
  };
  for (int t = tile.first; t < tile.first + tile.tokens; t++) {
    float sum = 0;
#pragma unroll
    for (int j = 0; j < Taps; j++)
      if (j < taps) sum += w[j] * input(t - before + j);
    y.set(t, c, sum / (1 + expf(-sum)));
  }
  if (!begins) return;
  for (int t = slots.next_stored(slots.first);; t = slots.next_stored(t + 1)) {
    const int to = slots.slot_after(t);
    for (int j = 0; j < before; j++) slot_row(to, j) = input(t - before + 1 + j);
    if (t + 1 >= slots.end) break;
  }
}

/// Floor: bytes. Grid (pieces of 256 elements).
__global__ void gates_kernel(Rows<float> g, Rows<float> beta, AnyRows a, AnyRows b, const float* a_neg, const float* dt_bias, int tokens,
                             int heads) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int t = static_cast<int>(i / heads), h = static_cast<int>(i % heads);
  if (t >= tokens) return;
  const float x = a.get(t, h) + dt_bias[h];
  g[t][h] = a_neg[h] * (x > 20 ? x : log1pf(expf(x)));  // beyond 20 softplus is the identity in f32
  beta[t][h] = 1 / (1 + expf(-b.get(t, h)));
}

}  // namespace

void kernel(CausalConv, Queue<Cuda>& queue, View<Cuda> y, View<Cuda> state, View<Cuda> x, View<Cuda> weight, View<Cuda> positions,
            View<Cuda> query_start, View<Cuda> block_table) {
  constexpr int most_taps = 16;
  const Sequences s(positions, query_start, block_table);
  const int64_t taps = weight.cols();
  check(taps <= most_taps, "causal_conv: at most so many taps on CUDA", taps, most_taps);
  if (x.rows() == 0) return;
  const Grid grid{
      dim3(static_cast<unsigned>(tile_count(x.rows(), s.count, tile_tokens)), static_cast<unsigned>((x.cols() + threads - 1) / threads)),
      threads};
  launch(queue, CausalConv::name, taps <= 4 ? conv_kernel<4> : conv_kernel<most_taps>, grid, {&y, &state, &x, &weight}, AnyRows(y),
         state.as<float>(), AnyRows(x), weight.as<const float>(), weight.stride, s, x.cols(), taps);
}

void kernel(DeltaGateValues, Queue<Cuda>& queue, View<Cuda> g, View<Cuda> beta, View<Cuda> a, View<Cuda> b, View<Cuda> a_neg,
            View<Cuda> dt_bias) {
  launch(queue, DeltaGateValues::name, gates_kernel, {dim3(static_cast<unsigned>((a.elements() + 255) / 256)), 256}, {&g, &a, &b},
         rows<float>(g), rows<float>(beta), AnyRows(a), AnyRows(b), a_neg.as<const float>(), dt_bias.as<const float>(), a.rows(), a.cols());
}

}  // namespace infernum
