// Reads packed row groups 32 columns at a time: eight vectors of 16 rows x 4 unsigned bytes, and the scales of the 16 rows.
// For *_avx512.cpp only; everything is inlined there.
#pragma once
#include "ops/cpu/gemm_avx512.h"

namespace infernum {
namespace {

/// Value = scale * (q - zero) or scale * q - min; values 16..31 of the block (q[4..7]) use scale_high where scales are fine.
struct Block512 {
  __m512i q[8];
  __m512 scale, scale_high, min;
};

constexpr int64_t prefetch_bytes = 4096;  // ahead of the reader: one core has too few misses in flight without it

template <int64_t bytes, bool prefetch>
[[gnu::always_inline]] inline void prefetch_tile(const std::byte* at) {
  if constexpr (prefetch)
#pragma GCC unroll 64
    for (int64_t i = 0; i < bytes; i += 64) _mm_prefetch(reinterpret_cast<const char*>(at + prefetch_bytes + i), _MM_HINT_T0);
}

[[gnu::always_inline]] inline __m512i load512(const std::byte* p) { return _mm512_loadu_si512(p); }
[[gnu::always_inline]] inline __m512 load_halves(const std::byte* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
[[gnu::always_inline]] inline __m128i load128(const std::byte* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

/// Q4_0 and Q8_0; `vectors` 64-byte vectors a block.
template <int vectors>
[[gnu::always_inline]] inline Block512 read_simple(const std::byte* scale, const std::byte* v) {
  Block512 block;
  block.scale = load_halves(scale);
  const __m512i low = _mm512_set1_epi8(15);
#pragma GCC unroll 8
  for (int j = 0; j < vectors; j++) {
    const __m512i both = load512(v + 64 * j);
    if constexpr (vectors == 8) {
      block.q[j] = both;
    } else {
      block.q[j] = _mm512_and_si512(both, low);
      block.q[4 + j] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
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
  const std::byte *ql = tile + 320 + 1024 * n + 512 * (j & 1), *qh = tile + 2368 + 512 * n;
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

/// Calls f(b, block) for the 32-column blocks of k0 .. k1, b counted from k0; k0 is a multiple of 256.
template <DType type, bool prefetch, class F>
[[gnu::always_inline]] inline void visit_blocks(const std::byte* packed, int64_t k, int64_t k0, int64_t k1, const F& f) {
  if constexpr (type == DType::Q4_0_R16 || type == DType::Q8_0_R16) {
    constexpr int vectors = type == DType::Q4_0_R16 ? 4 : 8;
    constexpr int64_t block_bytes = 32 + 64 * vectors;
    const std::byte* tile = packed + k0 / 32 * block_bytes;
    int64_t b = 0;
    for (; b + 2 <= (k1 - k0) / 32; b += 2, tile += 2 * block_bytes) {
      prefetch_tile<2 * block_bytes, prefetch>(tile);
      f(b, read_simple<vectors>(tile, tile + 64));
      f(b + 1, read_simple<vectors>(tile + 32, tile + 64 + 64 * vectors));
    }
    if (b < (k1 - k0) / 32) f(b, read_simple<vectors>(tile, tile + (k1 < k ? 64 : 32)));
  } else {
    constexpr int64_t tile_bytes = type == DType::Q4_K_R16 ? 2368 : type == DType::Q5_K_R16 ? 2880 : 3392;
    const std::byte* tile = packed + k0 / 256 * tile_bytes;
    for (int64_t b = 0; b < (k1 - k0) / 32; b += 8, tile += tile_bytes) {
      prefetch_tile<tile_bytes, prefetch>(tile);
      const __m512 d = load_halves(tile), dmin = load_halves(tile + 32);
#pragma GCC unroll 8
      for (int s = 0; s < 8; s++)
        if constexpr (type == DType::Q6_K_R16)
          f(b + s, read_q6_k(tile, d, s));
        else
          f(b + s, read_q45_k<type == DType::Q5_K_R16>(tile, d, dmin, s));
    }
  }
}

}  // namespace
}  // namespace infernum
