// Reads packed row groups 32 columns at a time: eight vectors of 16 rows x 4 unsigned bytes, and the scales of the 16 rows.
// For *_avx512.cpp only; everything is inlined there. No software prefetch here: tiles lie in the order they are read, and for one token
// asking for them 4 KiB ahead cost Zen 4 a quarter of its speed on one core, 5 to 10 % on two.
#pragma once
#include "ops/cpu/gemm_avx512.h"
#include "ops/cpu/pack.h"

namespace infernum {
namespace {

/// Value = scale * (q - zero) or scale * q - min; values 16..31 of the block (q[4..7]) use scale_high where scales are fine.
struct Block512 {
  __m512i q[8];
  __m512 scale, scale_high, min;
};

[[gnu::always_inline]] inline __m512i load512(const std::byte* p) { return _mm512_loadu_si512(p); }
[[gnu::always_inline]] inline __m512 load_halves(const std::byte* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
[[gnu::always_inline]] inline __m128i load128(const std::byte* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

/// Half of 2^(e - 127), as the codes are doubled; below the normal floats it is zero, 255 is NaN.
[[gnu::always_inline]] inline __m512 mxfp4_scale(const std::byte* p) {
  const __m512i e = _mm512_cvtepu8_epi32(load128(p));
  const __m512i bits = _mm512_slli_epi32(_mm512_max_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), _mm512_setzero_si512()), 23);
  return _mm512_castsi512_ps(_mm512_mask_set1_epi32(bits, _mm512_cmpeq_epi32_mask(e, _mm512_set1_epi32(255)), 0x7fc00000));
}

/// A block of 32 whose scales and body (high bits, quants) lie at these places.
template <DType type>
[[gnu::always_inline]] inline Block512 read_small(const std::byte* scale, const std::byte* body) {
  constexpr SmallBlocks form = small_blocks(type);
  Block512 block;
  if constexpr (type == DType::MXFP4_R16)
    block.scale = mxfp4_scale(scale);
  else
    block.scale = load_halves(scale);
  if constexpr (form.scale_bytes == 64) block.min = _mm512_sub_ps(_mm512_setzero_ps(), load_halves(scale + 32));
  const __m512i low = _mm512_set1_epi8(15);
#pragma GCC unroll 8
  for (int j = 0; j < form.vectors; j++) {
    const __m512i both = load512(body + form.high_bytes + 64 * j);
    if constexpr (form.vectors == 8) {
      block.q[j] = both;
    } else {
      block.q[j] = _mm512_and_si512(both, low);
      block.q[4 + j] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
    }
  }
  if constexpr (type == DType::IQ4_NL_R16 || type == DType::MXFP4_R16) {
    const auto* codes = reinterpret_cast<const std::byte*>(type == DType::IQ4_NL_R16 ? iq4_nl_codes : mxfp4_codes);
    const __m512i table = _mm512_broadcast_i32x4(load128(codes));
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) block.q[j] = _mm512_shuffle_epi8(table, block.q[j]);
  }
  if constexpr (form.high_bytes != 0) {
    const __m512i bit = _mm512_set1_epi8(16);
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
      uint64_t high;
      __builtin_memcpy(&high, body + 8 * j, 8);
      block.q[j] = _mm512_mask_add_epi8(block.q[j], high, block.q[j], bit);
    }
  }
  return block;
}

/// Sub-block s of a Q4_K (high false) or Q5_K tile.
template <bool high>
[[gnu::always_inline]] inline Block512 read_q45_k(const std::byte* tile, __m512 d, __m512 dmin, int s) {
  Block512 block;
  block.scale = _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(load128(tile + 64 + 16 * s))));
  block.min = _mm512_mul_ps(dmin, _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(load128(tile + 192 + 16 * s))));
  const std::byte* v = tile + (high ? 832 : 320) + 512 * (s / 2);
  const __m512i low = _mm512_set1_epi8(15), bit = _mm512_set1_epi8(16);
#pragma GCC unroll 8
  for (int j = 0; j < 8; j++) {
    const __m512i both = load512(v + 64 * j);
    block.q[j] = _mm512_and_si512(s % 2 ? _mm512_srli_epi16(both, 4) : both, low);
    if constexpr (high) {
      const __m512i bits = load512(tile + 320 + 64 * j);
      const __m512i shifted =
          s <= 4 ? _mm512_slli_epi16(bits, static_cast<unsigned>(4 - s)) : _mm512_srli_epi16(bits, static_cast<unsigned>(s - 4));
      block.q[j] = _mm512_ternarylogic_epi32(block.q[j], shifted, bit, 0xf8);  // q | (shifted & bit)
    }
  }
  return block;
}

/// Sub-block s of a Q6_K tile: half s / 4, part s % 4 of it.
[[gnu::always_inline]] inline Block512 read_q6_k(const std::byte* tile, __m512 d, int s) {
  Block512 block;
  block.scale = _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load128(tile + 64 + 32 * s))));
  block.scale_high = _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load128(tile + 80 + 32 * s))));
  const int n = s / 4, j = s % 4;
  const std::byte *qh = tile + 320 + 1536 * n, *ql = qh + 512 + 512 * (j & 1);
  const __m512i low = _mm512_set1_epi8(15), pair = _mm512_set1_epi8(0x30);
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) {
    const __m512i both = load512(ql + 64 * i), bits = load512(qh + 64 * i);
    const __m512i nibble = _mm512_and_si512(j >= 2 ? _mm512_srli_epi16(both, 4) : both, low);
    const __m512i shifted = j <= 2 ? _mm512_slli_epi16(bits, static_cast<unsigned>(4 - 2 * j)) : _mm512_srli_epi16(bits, 2);
    block.q[i] = _mm512_ternarylogic_epi32(nibble, shifted, pair, 0xf8);
  }
  return block;
}

/// Calls f(b, block) for the 32-column blocks of k0 .. k1, b counted from k0; k0 is a multiple of 256, and so is k1 unless it is k.
template <DType type, class F>
[[gnu::always_inline]] inline void visit_blocks(const std::byte* packed, int64_t k0, int64_t k1, const F& f) {
  if constexpr (type < DType::Q4_K_R16) {
    constexpr SmallBlocks form = small_blocks(type);
    constexpr int64_t tile_blocks = form.tile_blocks, tile_bytes = tile_blocks * form.block_bytes();
    const std::byte* tile = packed + k0 / 32 * form.block_bytes();
    int64_t b = 0;
    for (; b + tile_blocks <= (k1 - k0) / 32; b += tile_blocks, tile += tile_bytes)
#pragma GCC unroll 4
      for (int64_t i = 0; i < tile_blocks; i++) {
        f(b + i, read_small<type>(tile + i * form.scale_bytes, tile + tile_blocks * form.scale_bytes + i * form.body_bytes()));
      }
    const int64_t rest = (k1 - k0) / 32 - b;
    for (int64_t i = 0; i < rest; i++)
      f(b + i, read_small<type>(tile + i * form.scale_bytes, tile + rest * form.scale_bytes + i * form.body_bytes()));
  } else {
    constexpr int64_t tile_bytes = type == DType::Q4_K_R16 ? 2368 : type == DType::Q5_K_R16 ? 2880 : 3392;
    const std::byte* tile = packed + k0 / 256 * tile_bytes;
    for (int64_t b = 0; b < (k1 - k0) / 32; b += 8, tile += tile_bytes) {
      const __m512 d = load_halves(tile), dmin = load_halves(tile + 32);
#pragma GCC unroll 8
      for (int s = 0; s < 8; s++) {
        if constexpr (type == DType::Q6_K_R16)
          f(b + s, read_q6_k(tile, d, s));
        else
          f(b + s, read_q45_k<type == DType::Q5_K_R16>(tile, d, dmin, s));
      }
    }
  }
}

}  // namespace
}  // namespace infernum
