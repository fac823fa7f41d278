// Runs of 32 elements of GGUF blocks for integer products: wide reads of blocks that lie in shared memory at any address.
#pragma once
#include "ops/cuda/blocks.cuh"

namespace infernum::cuda {

/// 32 elements: x[i] = scale[i / span] * q[i] + min[i / span], `scales` spans.
template <int scales>
struct Run {
  uint32_t q[8];
  float scale[scales], min[scales];
};

/// N words from any address; reads up to 3 bytes before and 4 behind them.
template <int N>
__device__ void load_words(const uint8_t* p, uint32_t (&out)[N]) {
  const auto address = reinterpret_cast<uintptr_t>(p);
  const auto* words = reinterpret_cast<const uint32_t*>(address & ~uintptr_t{3});
  const unsigned shift = 8 * static_cast<unsigned>(address & 3);
  uint32_t low = words[0];
#pragma unroll
  for (int i = 0; i < N; i++) {
    const uint32_t high = words[i + 1];
    out[i] = __funnelshift_r(low, high, shift);
    low = high;
  }
}

/// get(b, s): run s of a block. has_min: min is not always 0; `scales` as in Run.
template <class Block>
struct Runs {
  static constexpr int scales = Unpack<Block>::span < 32 ? 2 : 1;
  static constexpr bool has_min = Unpack<Block>::has_min;
  static __device__ Run<scales> get(const Block* b, int s) {
    Run<scales> run;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const Octet o = Unpack<Block>::octet(b, 4 * s + i);
      run.q[2 * i] = o.q[0], run.q[2 * i + 1] = o.q[1];
      run.scale[i * scales / 4] = o.scale, run.min[i * scales / 4] = o.min;
    }
    return run;
  }
};

/// Blocks of 32 nibbles; `finish(w, q)` makes word w of the levels of them.
template <class F>
__device__ Run<1> run_of_nibbles(const uint8_t (&qs)[16], float scale, float min, const F& finish) {
  uint32_t packed[4];
  load_words(qs, packed);
  Run<1> run{{}, {scale}, {min}};
#pragma unroll
  for (int w = 0; w < 4; w++) {
    run.q[w] = finish(w, packed[w] & in_bytes(15));
    run.q[w + 4] = finish(w + 4, packed[w] >> 4 & in_bytes(15));
  }
  return run;
}
__device__ inline uint32_t as_it_is(int, uint32_t q) { return q; }

/// Four bits from 4 w on, each at bit 4 of a byte.
__device__ inline uint32_t spread(uint32_t bits, int w) {
  const uint32_t four = bits >> 4 * w & 15;
  return (four << 4 | four << 11 | four << 18 | four << 25) & in_bytes(16);
}

// The offset of symmetric types is a minimum here: the sum of the activations is known, so that no element needs a subtraction.
template <>
struct Runs<BlockQ4_0> {
  static constexpr int scales = 1;
  static constexpr bool has_min = true;
  static __device__ Run<1> get(const BlockQ4_0* b, int) {
    const float d = half_bits(b->d);
    return run_of_nibbles(b->qs, d, -8 * d, as_it_is);
  }
};

template <>
struct Runs<BlockQ4_1> {
  static constexpr int scales = 1;
  static constexpr bool has_min = true;
  static __device__ Run<1> get(const BlockQ4_1* b, int) { return run_of_nibbles(b->qs, half_bits(b->d), half_bits(b->m), as_it_is); }
};

template <>
struct Runs<BlockQ5_0> {
  static constexpr int scales = 1;
  static constexpr bool has_min = true;
  static __device__ Run<1> get(const BlockQ5_0* b, int) {
    const float d = half_bits(b->d);
    const uint32_t high = load_word<2>(b->qh);
    return run_of_nibbles(b->qs, d, -16 * d, [=](int w, uint32_t q) { return q | spread(high, w); });
  }
};

template <>
struct Runs<BlockQ5_1> {
  static constexpr int scales = 1;
  static constexpr bool has_min = true;
  static __device__ Run<1> get(const BlockQ5_1* b, int) {
    const uint32_t high = load_word<2>(b->qh);
    return run_of_nibbles(b->qs, half_bits(b->d), half_bits(b->m), [=](int w, uint32_t q) { return q | spread(high, w); });
  }
};

template <>
struct Runs<BlockQ8_0> {
  static constexpr int scales = 1;
  static constexpr bool has_min = false;
  static __device__ Run<1> get(const BlockQ8_0* b, int) {
    Run<1> run{{}, {half_bits(b->d)}, {0}};
    load_words(reinterpret_cast<const uint8_t*>(b->qs), run.q);
    return run;
  }
};

template <>
struct Runs<BlockIQ4_NL> {
  static constexpr int scales = 1;
  static constexpr bool has_min = false;
  static __device__ Run<1> get(const BlockIQ4_NL* b, int) {
    return run_of_nibbles(b->qs, half_bits(b->d), 0, [](int, uint32_t q) { return iq4_levels(q); });
  }
};

template <>
struct Runs<BlockMXFP4> {
  static constexpr int scales = 1;
  static constexpr bool has_min = false;
  static __device__ Run<1> get(const BlockMXFP4* b, int) {
    return run_of_nibbles(b->qs, e8m0_half(b->e), 0, [](int, uint32_t q) { return e2m1_levels(q); });
  }
};

template <>
struct Runs<BlockQ6_K> {
  static constexpr int scales = 2;
  static constexpr bool has_min = false;
  static __device__ Run<2> get(const BlockQ6_K* b, int s) {
    const int n = s >> 2, j = s & 3;
    uint32_t low[8], high[8];
    load_words(b->ql + 64 * n + 32 * (j & 1), low);
    load_words(b->qh + 32 * n, high);
    const float d = half_bits(b->d);
    Run<2> run{{}, {d * static_cast<float>(b->scales[2 * s]), d * static_cast<float>(b->scales[2 * s + 1])}, {0, 0}};
#pragma unroll
    for (int w = 0; w < 8; w++) run.q[w] = minus((low[w] >> 4 * (j >> 1) & in_bytes(15)) | (high[w] >> 2 * j & in_bytes(3)) << 4, 32);
    return run;
  }
};

}  // namespace infernum::cuda
