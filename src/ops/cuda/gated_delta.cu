// The gated delta rule in its recurrent form: token by token, with the state in registers.
#include <algorithm>

#include "backends/cuda/launch.cuh"
#include "ops/cuda/state_slots.cuh"
#include "ops/kernels.h"

namespace infernum {
namespace {

using namespace cuda;

constexpr int warps = 4, columns = 8 * warps, chunk = 16;

struct DeltaWork {
  AnyRows o, q, k, v;
  Rows<const float> g, beta;
  float* state;
  Sequences sequences;
  int heads, key_heads, dk, dv;
  bool tiled_heads;
};

/// `chunk` tokens as f32: q and k of length 1, q times dk^-0.5, padded with zeros to `Dk` components.
template <int Dk>
struct alignas(16) Tokens {
  float q[chunk][Dk], k[chunk][Dk], v[chunk][columns];
  float decay[chunk], beta[chunk], qk[chunk];  ///< qk: product of q and k
};

template <int Dk>
__device__ void load_tokens(Tokens<Dk>& to, const DeltaWork& w, int head, int key_head, int column, int first, int tokens) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int t = warp; t < tokens; t += warps) {
    float q[Dk / 32], k[Dk / 32], qq = 0, kk = 0, qk = 0;
#pragma unroll
    for (int n = 0; n < Dk / 32; n++) {
      const int i = lane + n * 32;
      q[n] = i < w.dk ? w.q.get(first + t, key_head * w.dk + i) : 0.f;
      k[n] = i < w.dk ? w.k.get(first + t, key_head * w.dk + i) : 0.f;
      qq += q[n] * q[n];
      kk += k[n] * k[n];
    }
    const float q_factor = 1 / sqrtf(static_cast<float>(w.dk)) / sqrtf(warp_sum(qq) + 1e-6f), k_factor = 1 / sqrtf(warp_sum(kk) + 1e-6f);
#pragma unroll
    for (int n = 0; n < Dk / 32; n++) {
      q[n] *= q_factor;
      k[n] *= k_factor;
      qk += q[n] * k[n];
      to.q[t][lane + n * 32] = q[n];
      to.k[t][lane + n * 32] = k[n];
    }
    qk = warp_sum(qk);
    to.v[t][lane] = column + lane < w.dv ? w.v.get(first + t, head * w.dv + column + lane) : 0.f;
    if (lane > 0) continue;
    to.decay[t] = expf(w.g[first + t][head]);
    to.beta[t] = w.beta[first + t][head];
    to.qk[t] = qk;
  }
}

/// Floor: bytes of the states for one token, multiply-adds for many. Grid (value heads * pieces of 32 columns of the state, sequences).
/// A warp has 8 columns, a lane Rows of a column's dk: 4 lanes share a column, each with rows 4 (4 i + lane / 8) .. + 3.
/// With S before the token: e = (v - decay S^T k) beta, o = decay S^T q + e (k q), S = decay S + k e: both products in one pass.
template <int Rows>
__global__ void __launch_bounds__(warps * 32) delta_kernel(DeltaWork w) {
  constexpr int Dk = 4 * Rows;
  static_assert(columns == 32 && Dk % 32 == 0 && Rows % 4 == 0);
  __shared__ Tokens<Dk> tokens;
  const int pieces = (w.dv + columns - 1) / columns, head = blockIdx.x / pieces, piece = blockIdx.x % pieces;
  if (w.sequences.query_start[blockIdx.y] == w.sequences.query_start[blockIdx.y + 1]) return;
  const StateSlots slots = state_slots(w.sequences, blockIdx.y);
  const int key_head = w.tiled_heads ? head % w.key_heads : head / (w.heads / w.key_heads);
  const int lane = threadIdx.x % 32, own = threadIdx.x / 32 * 8 + lane % 8, column = piece * columns + own, row = lane / 8 * 4;
  const auto row_of = [&](int i) { return i / 4 * 16 + row + i % 4; };
  const auto at = [&](int slot) { return w.state + (static_cast<int64_t>(slot) * w.heads + head) * w.dk * w.dv + column; };
  const bool inside = column < w.dv;

  float s[Rows];
  const int from = slots.initial();
#pragma unroll
  for (int i = 0; i < Rows; i++) s[i] = from >= 0 && inside && row_of(i) < w.dk ? at(from)[static_cast<int64_t>(row_of(i)) * w.dv] : 0.f;
  int stored = slots.next_stored(slots.first);
  for (int first = slots.first; first < slots.end; first += chunk) {
    const int count = min(chunk, slots.end - first);
    __syncthreads();
    load_tokens(tokens, w, head, key_head, piece * columns, first, count);
    __syncthreads();
    for (int t = 0; t < count; t++) {
      const float decay = tokens.decay[t];
      float read = 0, out = 0;
#pragma unroll
      for (int i = 0; i < Rows; i += 4) {
        const float4 k = *reinterpret_cast<const float4*>(&tokens.k[t][row_of(i)]),
                     q = *reinterpret_cast<const float4*>(&tokens.q[t][row_of(i)]);
        read += s[i] * k.x + s[i + 1] * k.y + (s[i + 2] * k.z + s[i + 3] * k.w);
        out += s[i] * q.x + s[i + 1] * q.y + (s[i + 2] * q.z + s[i + 3] * q.w);
      }
      read += __shfl_xor_sync(0xffffffffu, read, 8);
      out += __shfl_xor_sync(0xffffffffu, out, 8);
      read += __shfl_xor_sync(0xffffffffu, read, 16);
      out += __shfl_xor_sync(0xffffffffu, out, 16);
      const float e = (tokens.v[t][own] - decay * read) * tokens.beta[t];
#pragma unroll
      for (int i = 0; i < Rows; i += 4) {
        const float4 k = *reinterpret_cast<const float4*>(&tokens.k[t][row_of(i)]);
        s[i] = decay * s[i] + k.x * e;
        s[i + 1] = decay * s[i + 1] + k.y * e;
        s[i + 2] = decay * s[i + 2] + k.z * e;
        s[i + 3] = decay * s[i + 3] + k.w * e;
      }
      if (inside && lane < 8) w.o.set(first + t, head * w.dv + column, decay * out + e * tokens.qk[t]);
      if (first + t != stored) continue;
      float* to = at(slots.slot_after(stored));
#pragma unroll
      for (int i = 0; i < Rows; i++)
        if (inside && row_of(i) < w.dk) to[static_cast<int64_t>(row_of(i)) * w.dv] = s[i];
      if (stored + 1 < slots.end) stored = slots.next_stored(stored + 1);
    }
  }
}

}  // namespace

void kernel(GatedDelta, Queue<Cuda>& queue, View<Cuda> o, View<Cuda> state, View<Cuda> q, View<Cuda> k, View<Cuda> v, View<Cuda> g,
            View<Cuda> beta, View<Cuda> positions, View<Cuda> query_start, View<Cuda> block_table, DeltaParams p) {
  const Sequences s(positions, query_start, block_table);
  const auto heads = static_cast<int>(state.size[1]), dk = static_cast<int>(state.size[2]), dv = static_cast<int>(state.size[3]);
  check(dk <= 256, "gated_delta: at most 256 components of a key on CUDA", dk);
  if (v.rows() == 0) return;
  const DeltaWork w{AnyRows(o),
                    AnyRows(q),
                    AnyRows(k),
                    AnyRows(v),
                    rows<const float>(g),
                    rows<const float>(beta),
                    state.as<float>(),
                    s,
                    heads,
                    static_cast<int>(q.cols() / dk),
                    dk,
                    dv,
                    p.tiled_heads};
  launch(queue, GatedDelta::name, dk <= 128 ? delta_kernel<32> : delta_kernel<64>,
         {dim3(static_cast<unsigned>(heads * ((dv + columns - 1) / columns)), static_cast<unsigned>(s.count)), warps * 32},
         {&o, &state, &q, &v}, w);
}

}  // namespace infernum
