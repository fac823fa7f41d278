// Unpacks row groups to bytes and multiplies them, 8 rows a vector. Four int8 products take maddubs, madd and add: a third of the AVX-512
// rate.
#include "ops/cpu/gemm_avx2.h"
#include "ops/cpu/pack.h"

namespace infernum {
namespace {

__m256i load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
void store256(void* p, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
__m256 halves(const std::byte* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
__m256 unsigned_bytes(const std::byte* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
__m256 signed_bytes(const std::byte* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}

/// Bits `shift` .. of every byte that `mask` keeps; shift is negative for a shift to the left.
__m256i bits(__m256i v, int shift, __m256i mask) {
  return _mm256_and_si256(shift >= 0 ? _mm256_srli_epi16(v, shift) : _mm256_slli_epi16(v, -shift), mask);
}

__m256 mxfp4_scale(const std::byte* p) {
  const __m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  const __m256i scale = _mm256_slli_epi32(_mm256_max_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), _mm256_setzero_si256()), 23);
  return _mm256_castsi256_ps(_mm256_blendv_epi8(scale, _mm256_set1_epi32(0x7fc00000), _mm256_cmpeq_epi32(e, _mm256_set1_epi32(255))));
}

/// 16 in every byte whose bit of the 32 is set.
__m256i high_bits(const std::byte* p) {
  int32_t word;
  __builtin_memcpy(&word, p, 4);
  const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i bit = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
  const __m256i mine = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(word), spread), bit);
  return _mm256_and_si256(_mm256_cmpeq_epi8(mine, bit), _mm256_set1_epi8(16));
}

void unpack_small(const UnpackCall& call) {
  const SmallBlocks form = small_blocks(call.type);
  const int64_t blocks = call.k / 32;
  const bool coded = call.type == DType::IQ4_NL_R16 || call.type == DType::MXFP4_R16;
  const __m256i low = _mm256_set1_epi8(15);
  const uint8_t* table = call.type == DType::IQ4_NL_R16 ? iq4_nl_codes : mxfp4_codes;
  const __m256i codes = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  uint8_t* q = call.strip.q;
  float *scale = call.strip.scale, *min = call.strip.min;
  for (int64_t b = call.k0 / 32; b < call.k1 / 32; b++, q += 512, scale += group_rows, min += group_rows) {
    const int64_t first = b / form.tile_blocks * form.tile_blocks, i = b - first;
    const int64_t count = blocks - first < form.tile_blocks ? blocks - first : form.tile_blocks;
    const std::byte *tile = call.packed + first * form.block_bytes(), *scales = tile + i * form.scale_bytes;
    const std::byte *body = tile + count * form.scale_bytes + i * form.body_bytes(), *v = body + form.high_bytes;
    for (int r = 0; r < 16; r += 8) {
      _mm256_storeu_ps(scale + r, call.type == DType::MXFP4_R16 ? mxfp4_scale(scales + r) : halves(scales + 2 * r));
      if (form.scale_bytes == 64) _mm256_storeu_ps(min + r, _mm256_sub_ps(_mm256_setzero_ps(), halves(scales + 32 + 2 * r)));
    }
    for (int n = 0; n < 64 * form.vectors; n += 32) {
      const __m256i both = load256(v + n);
      store256(q + n, form.vectors == 8 ? both : _mm256_and_si256(both, low));
      if (form.vectors == 4) store256(q + 256 + n, bits(both, 4, low));
    }
    for (int n = 0; coded && n < 512; n += 32) store256(q + n, _mm256_shuffle_epi8(codes, load256(q + n)));
    for (int n = 0; form.high_bytes && n < 512; n += 32) store256(q + n, _mm256_or_si256(load256(q + n), high_bits(body + n / 8)));
  }
}

template <bool high>
void unpack_q45_k(const UnpackCall& call) {
  constexpr int64_t tile_bytes = high ? 2880 : 2368;
  const __m256i low = _mm256_set1_epi8(15), bit = _mm256_set1_epi8(16);
  uint8_t* q = call.strip.q;
  float *scale = call.strip.scale, *min = call.strip.min;
  for (int64_t b = call.k0 / 256; b < call.k1 / 256; b++) {
    const std::byte* tile = call.packed + b * tile_bytes;
    for (int s = 0; s < 8; s++, q += 512, scale += group_rows, min += group_rows) {
      for (int r = 0; r < 16; r += 8) {
        _mm256_storeu_ps(scale + r, _mm256_mul_ps(halves(tile + 2 * r), unsigned_bytes(tile + 64 + 16 * s + r)));
        _mm256_storeu_ps(min + r, _mm256_mul_ps(halves(tile + 32 + 2 * r), unsigned_bytes(tile + 192 + 16 * s + r)));
      }
      const std::byte* v = tile + (high ? 832 : 320) + 512 * (s / 2);
      for (int i = 0; i < 512; i += 32) {
        __m256i value = bits(load256(v + i), 4 * (s % 2), low);
        if constexpr (high) value = _mm256_or_si256(value, bits(load256(tile + 320 + i), s - 4, bit));
        store256(q + i, value);
      }
    }
  }
}

void unpack_q6_k(const UnpackCall& call) {
  const __m256i low = _mm256_set1_epi8(15), pair = _mm256_set1_epi8(0x30);
  uint8_t* q = call.strip.q;
  float* scale = call.strip.scale;
  for (int64_t b = call.k0 / 256; b < call.k1 / 256; b++) {
    const std::byte* tile = call.packed + b * 3392;
    for (int s = 0; s < 16; s++, scale += group_rows)
      for (int r = 0; r < 16; r += 8)
        _mm256_storeu_ps(scale + r, _mm256_mul_ps(halves(tile + 2 * r), signed_bytes(tile + 64 + 16 * s + r)));
    for (int s = 0; s < 8; s++, q += 512) {
      const int n = s / 4, j = s % 4;
      const std::byte *qh = tile + 320 + 1536 * n, *ql = qh + 512 + 512 * (j & 1);
      for (int i = 0; i < 512; i += 32)
        store256(q + i, _mm256_or_si256(bits(load256(ql + i), 4 * (j >> 1), low), bits(load256(qh + i), 2 * j - 4, pair)));
    }
  }
}

/// Sums of 4 products in each lane. Weights above 127 (`wide`: Q8_0, IQ4_NL) would overflow the 16-bit pairs: there they count from 128,
/// and their signs move to the activations, so that 128 * 127 * 2 still fits.
template <bool wide>
[[gnu::always_inline]] inline __m256i dot4(__m256i acc, __m256i w, __m256i x) {
  __m256i pairs;
  if constexpr (wide) {
    const __m256i w_signed = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
    pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w_signed), _mm256_sign_epi8(x, w_signed));
  } else {
    pairs = _mm256_maddubs_epi16(w, x);
  }
  return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/// 16 rows x `tokens`.
template <int tokens, bool wide, bool has_min, bool fine>
void multiply_tile(const StripCall& call, const Strip& strip, int64_t first, int64_t column) {
  constexpr int parts = fine ? 2 : 1, steps = 8 / parts;
  const ActivationBlock* x[tokens];
  __m256 acc[tokens][2];
#pragma GCC unroll 4
  for (int t = 0; t < tokens; t++) {
    x[t] = call.x.row(call.x_rows[first + t]) + call.block0;
    acc[t][0] = acc[t][1] = _mm256_setzero_ps();
  }
  for (int64_t b = 0; b < call.blocks; b++) {
#pragma GCC unroll 2
    for (int p = 0; p < parts; p++) {
      __m256i dot[tokens][2];
#pragma GCC unroll 4
      for (int t = 0; t < tokens; t++)
        dot[t][0] = dot[t][1] = wide || has_min ? _mm256_setzero_si256() : _mm256_set1_epi32(x[t][b].bias[p]);
#pragma GCC unroll 8
      for (int j = 0; j < steps; j++) {
        const uint8_t* w = strip.q + 512 * b + 64 * (steps * p + j);
        const __m256i w0 = load256(w), w1 = load256(w + 32);
#pragma GCC unroll 4
        for (int t = 0; t < tokens; t++) {
          int32_t lane;
          __builtin_memcpy(&lane, x[t][b].q + 4 * (steps * p + j), 4);
          const __m256i four = _mm256_set1_epi32(lane);
          dot[t][0] = dot4<wide>(dot[t][0], w0, four);
          dot[t][1] = dot4<wide>(dot[t][1], w1, four);
        }
      }
#pragma GCC unroll 2
      for (int h = 0; h < 2; h++) {
        const __m256 scale = _mm256_loadu_ps(strip.scale + group_rows * (parts * b + p) + 8 * h);
#pragma GCC unroll 4
        for (int t = 0; t < tokens; t++)
          acc[t][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[t][h]), _mm256_mul_ps(scale, _mm256_set1_ps(x[t][b].scale)), acc[t][h]);
      }
    }
    if constexpr (has_min)
#pragma GCC unroll 2
      for (int h = 0; h < 2; h++) {
        const __m256 min = _mm256_loadu_ps(strip.min + group_rows * b + 8 * h);
#pragma GCC unroll 4
        for (int t = 0; t < tokens; t++) acc[t][h] = _mm256_fnmadd_ps(min, _mm256_set1_ps(x[t][b].sum), acc[t][h]);
      }
  }
  for (int t = 0; t < tokens; t++)
    for (int h = 0; h < 2; h++) {
      float* c = call.c + call.c_rows[first + t] * call.c_stride + column + 8 * h;
      _mm256_storeu_ps(c, call.accumulate ? _mm256_add_ps(acc[t][h], _mm256_loadu_ps(c)) : acc[t][h]);
    }
}

template <bool wide, bool has_min, bool fine>
void multiply(const StripCall& call) {
  for (int g = 0; g < call.groups; g++)
    for (int64_t t = 0; t < call.m; t += t + 2 <= call.m ? 2 : 1)
      if (t + 2 <= call.m)
        multiply_tile<2, wide, has_min, fine>(call, call.strips[g], t, group_rows * g);
      else
        multiply_tile<1, wide, has_min, fine>(call, call.strips[g], t, group_rows * g);
}

}  // namespace

void unpack_avx2(const UnpackCall& call) {
  switch (call.type) {
    case DType::Q4_K_R16: return unpack_q45_k<false>(call);
    case DType::Q5_K_R16: return unpack_q45_k<true>(call);
    case DType::Q6_K_R16: return unpack_q6_k(call);
    default: return unpack_small(call);
  }
}

void strip_avx2(const StripCall& call) {
  if (call.form.fine)
    multiply<false, false, true>(call);
  else if (call.form.has_min)
    multiply<false, true, false>(call);
  else if (call.form.zero == 128)
    multiply<true, false, false>(call);
  else
    multiply<false, false, false>(call);
}

}  // namespace infernum
