// The block layouts of GGUF as structs: a row of a quantised matrix is a run of these. Little-endian, as in the file.
// Fields are trusted by nobody: scales may be zero, negative, infinite or NaN in a hostile file, and no index is built from them.
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/check.h"
#include "core/dtype.h"
#include "core/half.h"

namespace infernum {

// Blocks of 32: byte j of qs holds element j in its low nibble and element j + 16 in its high nibble.
struct BlockQ4_0 {  // x = d (q - 8)
  static constexpr DType type = DType::Q4_0;
  F16 d;
  uint8_t qs[16];
};
struct BlockQ4_1 {  // x = d q + m
  static constexpr DType type = DType::Q4_1;
  F16 d, m;
  uint8_t qs[16];
};
struct BlockQ5_0 {  // x = d (q - 16); bit i of the little-endian word qh is bit 4 of element i
  static constexpr DType type = DType::Q5_0;
  F16 d;
  uint8_t qh[4], qs[16];
};
struct BlockQ5_1 {  // x = d q + m
  static constexpr DType type = DType::Q5_1;
  F16 d, m;
  uint8_t qh[4], qs[16];
};
struct BlockQ8_0 {  // x = d q
  static constexpr DType type = DType::Q8_0;
  F16 d;
  int8_t qs[32];
};
struct BlockIQ4_NL {  // x = d iq4_values[q]
  static constexpr DType type = DType::IQ4_NL;
  F16 d;
  uint8_t qs[16];
};
struct BlockMXFP4 {  // x = 2^(e - 127) E2M1[q]
  static constexpr DType type = DType::MXFP4;
  uint8_t e, qs[16];
};

// Blocks of 256 ("K-quants"): sub-blocks of 16 or 32 elements with small integer scales, themselves scaled by d (and dmin).
struct BlockQ2_K {  // x = d (s & 15) q - dmin (s >> 4), s of each 16 elements
  static constexpr DType type = DType::Q2_K;
  uint8_t scales[16], qs[64];
  F16 d, dmin;
};
struct BlockQ3_K {  // x = d (s - 32) (q - 4), s of each 16 elements in 6 bits
  static constexpr DType type = DType::Q3_K;
  uint8_t hmask[32], qs[64], scales[12];
  F16 d;
};
struct BlockQ4_K {  // x = d s q - dmin m, s and m of each 32 elements in 6 bits
  static constexpr DType type = DType::Q4_K;
  F16 d, dmin;
  uint8_t scales[12], qs[128];
};
struct BlockQ5_K {  // as Q4_K; bit B of qh[l] is bit 4 of element l of sub-block B
  static constexpr DType type = DType::Q5_K;
  F16 d, dmin;
  uint8_t scales[12], qh[32], qs[128];
};
struct BlockQ6_K {  // x = d s (q - 32), s of each 16 elements
  static constexpr DType type = DType::Q6_K;
  uint8_t ql[128], qh[64];
  int8_t scales[16];
  F16 d;
};
struct BlockIQ4_XS {  // x = d (s - 32) iq4_values[q], s of each 32 elements: four low bits in scales_l, two high ones in scales_h
  static constexpr DType type = DType::IQ4_XS;
  F16 d;
  uint8_t scales_h[2], scales_l[4], qs[128];
};
struct BlockIQ3_S {  // x = +-d (1 + 2 s) grid[index], s of each 32 elements, an index of 9 bits for each 4
  static constexpr DType type = DType::IQ3_S;
  F16 d;
  uint8_t qs[64], qh[8], signs[32], scales[4];
};
struct BlockTQ1_0 {  // x = d (trit - 1); five trits a byte
  static constexpr DType type = DType::TQ1_0;
  uint8_t qs[48], qh[4];
  F16 d;
};
struct BlockTQ2_0 {  // x = d (q - 1)
  static constexpr DType type = DType::TQ2_0;
  uint8_t qs[64];
  F16 d;
};

/// Elements of a block.
template <class Block>
constexpr int block_elements = info(Block::type).block;

template <class... Block>
constexpr bool blocks_match_infos = ((sizeof(Block) == info(Block::type).bytes && std::is_trivially_copyable_v<Block>)&&...);
static_assert(blocks_match_infos<BlockQ4_0, BlockQ4_1, BlockQ5_0, BlockQ5_1, BlockQ8_0, BlockIQ4_NL, BlockMXFP4, BlockQ2_K, BlockQ3_K,
                                 BlockQ4_K, BlockQ5_K, BlockQ6_K, BlockIQ4_XS, BlockIQ3_S, BlockTQ1_0, BlockTQ2_0>);

/// Calls f(Block{}) with the struct of a block type, so that a loop over blocks is written once for all of them.
template <class F>
decltype(auto) with_block(DType type, F&& f) {
  switch (type) {
    case DType::Q4_0: return f(BlockQ4_0{});
    case DType::Q4_1: return f(BlockQ4_1{});
    case DType::Q5_0: return f(BlockQ5_0{});
    case DType::Q5_1: return f(BlockQ5_1{});
    case DType::Q8_0: return f(BlockQ8_0{});
    case DType::Q2_K: return f(BlockQ2_K{});
    case DType::Q3_K: return f(BlockQ3_K{});
    case DType::Q4_K: return f(BlockQ4_K{});
    case DType::Q5_K: return f(BlockQ5_K{});
    case DType::Q6_K: return f(BlockQ6_K{});
    case DType::IQ4_NL: return f(BlockIQ4_NL{});
    case DType::IQ4_XS: return f(BlockIQ4_XS{});
    case DType::IQ3_S: return f(BlockIQ3_S{});
    case DType::MXFP4: return f(BlockMXFP4{});
    case DType::TQ1_0: return f(BlockTQ1_0{});
    case DType::TQ2_0: return f(BlockTQ2_0{});
    default: fail("not a block type", type);
  }
}

/// Block i of a row; the row may lie at any address.
template <class Block>
Block load_block(const std::byte* row, int64_t i) {
  Block block;
  std::memcpy(&block, row + i * static_cast<int64_t>(sizeof(Block)), sizeof(Block));
  return block;
}

/// The sixteen levels of IQ4_NL and IQ4_XS.
inline constexpr int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/// Twice the sixteen values of E2M1; the scale that goes with them is half of the block's.
inline constexpr int8_t e2m1_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// 2^(e - 128): half of the E8M0 scale e. 255 is NaN.
constexpr float e8m0_half(uint8_t e) {
  if (e == 255) return std::bit_cast<float>(0x7fc00000u);
  return std::bit_cast<float>(e < 2 ? 0x00200000u << e : static_cast<uint32_t>(e - 1) << 23);
}

/// Scale and minimum of sub-block b of Q4_K and Q5_K, 6 bits each.
struct ScaleMin {
  int scale, min;
};
constexpr ScaleMin scale_min(const uint8_t (&s)[12], int b) {
  if (b < 4) return {s[b] & 63, s[b + 4] & 63};
  return {(s[b + 4] & 15) | (s[b - 4] >> 6) << 4, (s[b + 4] >> 4) | (s[b] >> 6) << 4};
}

/// Scale of sub-block b of Q3_K, -32 .. 31.
constexpr int q3k_scale(const uint8_t (&s)[12], int b) {
  const int low = b < 8 ? s[b] & 15 : s[b - 8] >> 4;
  return (low | ((s[8 + b % 4] >> 2 * (b / 4)) & 3) << 4) - 32;
}

/// Scale of sub-block b of IQ4_XS, -32 .. 31.
constexpr int iq4xs_scale(const BlockIQ4_XS& block, int b) {
  const int low = block.scales_l[b / 2] >> 4 * (b & 1) & 15;
  return (low | (block.scales_h[b / 4] >> 2 * (b % 4) & 3) << 4) - 32;
}

}  // namespace infernum
