// GGUF blocks on the device: of every type, eight neighbouring elements as int8 values with the scale and minimum that make them numbers.
// x[i] = scale * q[i] + min. One specialisation of Unpack for each type serves dequantisation and products alike. What the fields mean is
// told in quant/blocks.h.
#pragma once
#include "backends/cuda/device.cuh"
#include "quant/blocks.h"
#include "quant/iq3s_grid.h"

namespace infernum::cuda {

/// Eight elements: q[0] holds the first four as signed bytes, lowest first.
struct Octet {
  uint32_t q[2];
  float scale, min;
};

/// octet(b, i): elements 8 i .. 8 i + 7 of a block in global or shared memory at an address that block_alignment<Block> divides.
/// has_min: whether min can be other than 0. Runs of `span` elements share scale and min.
template <class Block>
struct Unpack;

template <class Block>
constexpr int block_alignment = sizeof(Block) % 4 == 0   ? 4
                                : sizeof(Block) % 2 == 0 ? 2
                                                         : 1;

/// Four bytes, lowest address first.
template <int alignment>
__device__ inline uint32_t load_word(const uint8_t* p) {
  if constexpr (alignment == 4) return *reinterpret_cast<const uint32_t*>(p);
  if constexpr (alignment == 2) {
    const auto* halves = reinterpret_cast<const uint16_t*>(p);
    return halves[0] | static_cast<uint32_t>(halves[1]) << 16;
  }
  return p[0] | p[1] << 8 | p[2] << 16 | static_cast<uint32_t>(p[3]) << 24;
}

__device__ inline float half_bits(F16 x) { return __half2float(__ushort_as_half(x.bits)); }

/// value as all four bytes
constexpr uint32_t in_bytes(uint32_t value) { return value * 0x01010101u; }

/// Every byte, 0 .. 127, less c, at most 128, as a signed byte.
__device__ inline uint32_t minus(uint32_t bytes, uint32_t c) { return ((bytes | in_bytes(0x80)) - in_bytes(c)) ^ in_bytes(0x80); }

/// The bytes i, i + 1, .. of a table of 16 bytes, i being the low nibble of each byte of `nibbles` (their high ones are 0).
__device__ inline uint32_t look_up(const uint32_t (&table)[4], uint32_t nibbles) {
  const uint32_t pairs = nibbles | nibbles >> 4, at = __byte_perm(pairs, 0, 0x4420), in_half = at & 0x7777;
  const uint32_t low = __byte_perm(table[0], table[1], in_half), high = __byte_perm(table[2], table[3], in_half);
  return __byte_perm(low, high, 0x3210 | (at & 0x8888) >> 1);
}

constexpr uint32_t word_of(const int8_t (&bytes)[16], int i) {
  uint32_t w = 0;
  for (int k = 3; k >= 0; k--) w = w << 8 | static_cast<uint8_t>(bytes[4 * i + k]);
  return w;
}
__device__ inline uint32_t iq4_levels(uint32_t nibbles) {
  constexpr uint32_t table[4] = {word_of(iq4_values, 0), word_of(iq4_values, 1), word_of(iq4_values, 2), word_of(iq4_values, 3)};
  return look_up(table, nibbles);
}
__device__ inline uint32_t e2m1_levels(uint32_t nibbles) {
  constexpr uint32_t table[4] = {word_of(e2m1_doubled, 0), word_of(e2m1_doubled, 1), word_of(e2m1_doubled, 2), word_of(e2m1_doubled, 3)};
  return look_up(table, nibbles);
}

// ---- blocks of 32 -------------------------------------------------------------------------------------------------------------------
/// Word w (of two) of octet i in qs: nibbles low of bytes 0..15, then high.
template <int alignment>
__device__ inline uint32_t nibbles_of_32(const uint8_t (&qs)[16], int i, int w) {
  return load_word<alignment>(qs + 8 * (i & 1) + 4 * w) >> 4 * (i >> 1) & in_bytes(15);
}

/// Bits 4 w .. of byte i of qh, each at bit 4 of a byte.
template <int alignment>
__device__ inline uint32_t fifth_bits(const uint8_t (&qh)[4], int i, int w) {
  const uint32_t bits = load_word<alignment>(qh) >> (8 * i + 4 * w) & 15;
  return (bits << 4 | bits << 11 | bits << 18 | bits << 25) & in_bytes(16);
}

template <>
struct Unpack<BlockQ4_0> {
  static constexpr bool has_min = false;
  static constexpr int span = 32;
  static __device__ Octet octet(const BlockQ4_0* b, int i) {
    return {{minus(nibbles_of_32<2>(b->qs, i, 0), 8), minus(nibbles_of_32<2>(b->qs, i, 1), 8)}, half_bits(b->d), 0};
  }
};

template <>
struct Unpack<BlockQ4_1> {
  static constexpr bool has_min = true;
  static constexpr int span = 32;
  static __device__ Octet octet(const BlockQ4_1* b, int i) {
    return {{nibbles_of_32<4>(b->qs, i, 0), nibbles_of_32<4>(b->qs, i, 1)}, half_bits(b->d), half_bits(b->m)};
  }
};

template <>
struct Unpack<BlockQ5_0> {
  static constexpr bool has_min = false;
  static constexpr int span = 32;
  static __device__ Octet octet(const BlockQ5_0* b, int i) {
    return {{minus(nibbles_of_32<2>(b->qs, i, 0) | fifth_bits<2>(b->qh, i, 0), 16),
             minus(nibbles_of_32<2>(b->qs, i, 1) | fifth_bits<2>(b->qh, i, 1), 16)},
            half_bits(b->d),
            0};
  }
};

template <>
struct Unpack<BlockQ5_1> {
  static constexpr bool has_min = true;
  static constexpr int span = 32;
  static __device__ Octet octet(const BlockQ5_1* b, int i) {
    return {{nibbles_of_32<4>(b->qs, i, 0) | fifth_bits<4>(b->qh, i, 0), nibbles_of_32<4>(b->qs, i, 1) | fifth_bits<4>(b->qh, i, 1)},
            half_bits(b->d),
            half_bits(b->m)};
  }
};

template <>
struct Unpack<BlockQ8_0> {
  static constexpr bool has_min = false;
  static constexpr int span = 32;
  static __device__ Octet octet(const BlockQ8_0* b, int i) {
    const auto* qs = reinterpret_cast<const uint8_t*>(b->qs) + 8 * i;
    return {{load_word<2>(qs), load_word<2>(qs + 4)}, half_bits(b->d), 0};
  }
};

template <>
struct Unpack<BlockIQ4_NL> {
  static constexpr bool has_min = false;
  static constexpr int span = 32;
  static __device__ Octet octet(const BlockIQ4_NL* b, int i) {
    return {{iq4_levels(nibbles_of_32<2>(b->qs, i, 0)), iq4_levels(nibbles_of_32<2>(b->qs, i, 1))}, half_bits(b->d), 0};
  }
};

template <>
struct Unpack<BlockMXFP4> {
  static constexpr bool has_min = false;
  static constexpr int span = 32;
  static __device__ Octet octet(const BlockMXFP4* b, int i) {
    return {{e2m1_levels(nibbles_of_32<1>(b->qs, i, 0)), e2m1_levels(nibbles_of_32<1>(b->qs, i, 1))}, e8m0_half(b->e), 0};
  }
};

// ---- blocks of 256: element e = 8 i lies in half n of 128, run j of 32 in it ---------------------------------------------------------
template <>
struct Unpack<BlockQ2_K> {
  static constexpr bool has_min = true;
  static constexpr int span = 16;
  static __device__ Octet octet(const BlockQ2_K* b, int i) {
    const int n = i >> 4, j = i >> 2 & 3, s = b->scales[i >> 1];
    const uint8_t* qs = b->qs + 32 * n + 8 * (i & 3);
    return {{load_word<4>(qs) >> 2 * j & in_bytes(3), load_word<4>(qs + 4) >> 2 * j & in_bytes(3)},
            half_bits(b->d) * static_cast<float>(s & 15),
            -(half_bits(b->dmin) * static_cast<float>(s >> 4))};
  }
};

template <>
struct Unpack<BlockQ3_K> {
  static constexpr bool has_min = false;
  static constexpr int span = 16;
  static __device__ Octet octet(const BlockQ3_K* b, int i) {
    const int n = i >> 4, j = i >> 2 & 3, l = 8 * (i & 3);
    const auto word = [&](int at) {
      const uint32_t low = load_word<2>(b->qs + 32 * n + at) >> 2 * j & in_bytes(3);
      const uint32_t high = load_word<2>(b->hmask + at) >> (4 * n + j) & in_bytes(1);
      return minus(low | high << 2, 4);
    };
    return {{word(l), word(l + 4)}, half_bits(b->d) * static_cast<float>(q3k_scale(b->scales, i >> 1)), 0};
  }
};

template <>
struct Unpack<BlockQ4_K> {
  static constexpr bool has_min = true;
  static constexpr int span = 32;
  static __device__ Octet octet(const BlockQ4_K* b, int i) {
    const int sub = i >> 2, shift = 4 * (sub & 1);
    const ScaleMin s = scale_min(b->scales, sub);
    const uint8_t* qs = b->qs + 32 * (sub >> 1) + 8 * (i & 3);
    return {{load_word<4>(qs) >> shift & in_bytes(15), load_word<4>(qs + 4) >> shift & in_bytes(15)},
            half_bits(b->d) * static_cast<float>(s.scale),
            -(half_bits(b->dmin) * static_cast<float>(s.min))};
  }
};

template <>
struct Unpack<BlockQ5_K> {
  static constexpr bool has_min = true;
  static constexpr int span = 32;
  static __device__ Octet octet(const BlockQ5_K* b, int i) {
    const int sub = i >> 2, l = 8 * (i & 3);
    const ScaleMin s = scale_min(b->scales, sub);
    const auto word = [&](int at) {
      const uint32_t low = load_word<4>(b->qs + 32 * (sub >> 1) + at) >> 4 * (sub & 1) & in_bytes(15);
      return low | (load_word<4>(b->qh + at) >> sub & in_bytes(1)) << 4;
    };
    return {{word(l), word(l + 4)}, half_bits(b->d) * static_cast<float>(s.scale), -(half_bits(b->dmin) * static_cast<float>(s.min))};
  }
};

template <>
struct Unpack<BlockQ6_K> {
  static constexpr bool has_min = false;
  static constexpr int span = 16;
  static __device__ Octet octet(const BlockQ6_K* b, int i) {
    const int n = i >> 4, j = i >> 2 & 3, l = 8 * (i & 3);
    const auto word = [&](int at) {
      const uint32_t low = load_word<2>(b->ql + 64 * n + 32 * (j & 1) + at) >> 4 * (j >> 1) & in_bytes(15);
      const uint32_t high = load_word<2>(b->qh + 32 * n + at) >> 2 * j & in_bytes(3);
      return minus(low | high << 4, 32);
    };
    return {{word(l), word(l + 4)}, half_bits(b->d) * static_cast<float>(b->scales[i >> 1]), 0};
  }
};

template <>
struct Unpack<BlockIQ4_XS> {
  static constexpr bool has_min = false;
  static constexpr int span = 32;
  static __device__ Octet octet(const BlockIQ4_XS* b, int i) {
    const int sub = i >> 2, shift = 4 * (i >> 1 & 1);
    const uint8_t* qs = b->qs + 16 * sub + 8 * (i & 1);
    return {{iq4_levels(load_word<4>(qs) >> shift & in_bytes(15)), iq4_levels(load_word<4>(qs + 4) >> shift & in_bytes(15))},
            half_bits(b->d) * static_cast<float>(iq4xs_scale(*b, sub)),
            0};
  }
};

/// The codebook of IQ3_S, a word for each vector of four.
struct Iq3sWords {
  uint32_t word[512];
};
constexpr Iq3sWords iq3s_words() {
  Iq3sWords words{};
  for (size_t i = 0; i < 512; i++)
    for (size_t k = 0; k < 4; k++) words.word[i] |= static_cast<uint32_t>(iq3s_grid[i][k]) << 8 * k;
  return words;
}
__device__ constexpr Iq3sWords device_iq3s_words = iq3s_words();

template <>
struct Unpack<BlockIQ3_S> {
  static constexpr bool has_min = false;
  static constexpr int span = 32;
  static __device__ Octet octet(const BlockIQ3_S* b, int i) {
    const int sub = i >> 2, s = b->scales[sub >> 1] >> 4 * (sub & 1) & 15;
    const auto word = [&](int p, uint32_t signs) {
      const uint32_t grid = device_iq3s_words.word[b->qs[8 * sub + p] | (b->qh[sub] >> p & 1) << 8];
      const uint32_t negative = (signs | signs << 7 | signs << 14 | signs << 21) & in_bytes(1);  // bit k of signs belongs to byte k
      return (grid ^ negative * 255) + negative;
    };
    const int p = 2 * (i & 3);
    const uint32_t signs = b->signs[i];
    return {{word(p, signs & 15), word(p + 1, signs >> 4)}, half_bits(b->d) * static_cast<float>(1 + 2 * s), 0};
  }
};

template <>
struct Unpack<BlockTQ1_0> {
  static constexpr bool has_min = false;
  static constexpr int span = 256;
  static __device__ Octet octet(const BlockTQ1_0* b, int i) {
    // Octets 0..19 are five trits of bytes 0..31, octets 20..29 of bytes 32..47, the last two four trits of qh.
    const uint8_t* first = i < 20 ? b->qs + 8 * (i & 3) : i < 30 ? b->qs + 32 + 8 * (i & 1) : b->qh;
    const int digit = i < 20 ? i >> 2 : i < 30 ? (i - 20) >> 1 : 2 * (i - 30);
    return {{trits(first, digit), i < 30 ? trits(first + 4, digit) : trits(first, digit + 1)}, half_bits(b->d), 0};
  }

 private:
  /// Trit `digit` of four bytes, less 1; see dequantize_block() for the arithmetic.
  static __device__ uint32_t trits(const uint8_t* p, int digit) {
    const uint32_t powers = 81u << 24 | 27 << 16 | 9 << 8 | 3, power = digit == 0 ? 1 : powers >> 8 * (digit - 1) & 255;
    uint32_t word = 0;
    for (int k = 0; k < 4; k++) word |= ((p[k] * power & 255) * 3 >> 8) << 8 * k;
    return minus(word, 1);
  }
};

template <>
struct Unpack<BlockTQ2_0> {
  static constexpr bool has_min = false;
  static constexpr int span = 256;
  static __device__ Octet octet(const BlockTQ2_0* b, int i) {
    const int j = i >> 2 & 3;
    const uint8_t* qs = b->qs + 32 * (i >> 4) + 8 * (i & 3);
    return {{minus(load_word<2>(qs) >> 2 * j & in_bytes(3), 1), minus(load_word<2>(qs + 4) >> 2 * j & in_bytes(3), 1)}, half_bits(b->d), 0};
  }
};

// ---- floats --------------------------------------------------------------------------------------------------------------------------
/// Signed byte k of a word.
__device__ inline float byte_to_float(uint32_t word, int k) { return static_cast<float>(static_cast<int>(word << (24 - 8 * k)) >> 24); }

/// Elements 8 i .. 8 i + 7 of a block, with the bits that quant/dequantize.h gives.
template <class Block>
__device__ void dequantize8(const Block* block, int i, float (&y)[8]) {
  const Octet o = Unpack<Block>::octet(block, i);
  for (int k = 0; k < 8; k++) {
    y[k] = __fmul_rn(o.scale, byte_to_float(o.q[k / 4], k % 4));
    if constexpr (Unpack<Block>::has_min) y[k] = __fadd_rn(y[k], o.min);
  }
}

}  // namespace infernum::cuda
