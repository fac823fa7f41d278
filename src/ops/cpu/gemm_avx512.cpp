// The AVX-512 level: its table, and activations to int8.
#include "ops/cpu/gemm_avx512.h"

namespace infernum {
namespace {

/// Two vectors are one block of 32. Same rules, and the same divisions, as the portable version.
void quantize_row(const float* x, const QuantizedRows& out, int64_t row, StripForm form) {
  const int64_t blocks = out.k / activation_block;
  ActivationBlock* to = out.row(row);
  const __m512 top = _mm512_set1_ps(3.40282347e38f);
  for (int64_t b = 0; b < blocks; b++, x += activation_block, to++) {
    const __m512 lo = _mm512_loadu_ps(x), hi = _mm512_loadu_ps(x + 16), a = _mm512_abs_ps(lo), c = _mm512_abs_ps(hi);
    const bool finite = (_mm512_cmp_ps_mask(a, top, _CMP_LE_OQ) & _mm512_cmp_ps_mask(c, top, _CMP_LE_OQ)) == 0xffff;
    const float largest = _mm512_reduce_max_ps(_mm512_max_ps(a, c));
    float scale = finite ? 0 : __builtin_nanf("");
    int32_t sums[2] = {};
    if (finite && largest >= 2e-36f) {
      const __m512 inverse = _mm512_set1_ps(127 / largest);
      const __m512i ql = _mm512_cvtps_epi32(_mm512_mul_ps(lo, inverse)), qh = _mm512_cvtps_epi32(_mm512_mul_ps(hi, inverse));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to->q), _mm512_cvtsepi32_epi8(ql));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to->q + 16), _mm512_cvtsepi32_epi8(qh));
      sums[0] = _mm512_reduce_add_epi32(ql);
      sums[1] = _mm512_reduce_add_epi32(qh);
      scale = largest / 127;
    } else {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to->q), _mm256_setzero_si256());
    }
    finish_block(*to, scale, sums[0], sums[1], form);
  }
}

}  // namespace

const GemmKernels gemm_avx512{dense_f32_avx512,       dense_f16_avx512, dense_bf16_avx512,
                              dense_bf16_bf16_avx512, quantize_row,     unpack_avx512,
                              strip_avx512,           gemv_avx512,      16};

}  // namespace infernum
