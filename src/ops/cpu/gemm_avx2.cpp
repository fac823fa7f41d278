// The AVX2 level: its table, and activations to int8.
#include "ops/cpu/gemm_avx2.h"

namespace infernum {
namespace {

float largest_of(__m256 v) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_shuffle_ps(m, m, 1)));
}

int32_t sum_of(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

/// Four vectors are one block of 32. Same rules, and the same divisions, as the portable version.
void quantize_row(const float* x, const QuantizedRows& out, int64_t row, StripForm form) {
  const int64_t blocks = out.k / activation_block;
  ActivationBlock* to = out.row(row);
  const __m256 top = _mm256_set1_ps(3.40282347e38f), magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  for (int64_t b = 0; b < blocks; b++, x += activation_block, to++) {
    __m256 v[4], most = _mm256_setzero_ps(), small = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
    for (int i = 0; i < 4; i++) {
      v[i] = _mm256_loadu_ps(x + 8 * i);
      const __m256 a = _mm256_and_ps(v[i], magnitude);
      most = _mm256_max_ps(most, a);
      small = _mm256_and_ps(small, _mm256_cmp_ps(a, top, _CMP_LE_OQ));
    }
    const bool finite = _mm256_movemask_ps(small) == 0xff;
    const float largest = largest_of(most);
    float scale = finite ? 0 : __builtin_nanf("");
    int32_t sums[2] = {};
    if (finite && largest >= 2e-36f) {
      const __m256 inverse = _mm256_set1_ps(127 / largest);
      __m256i rounded[4];
      for (int i = 0; i < 4; i++) rounded[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse));
      // The packs work within 128-bit halves: dwords come out as 0 2 4 6 1 3 5 7.
      const __m256i words = _mm256_packs_epi16(_mm256_packs_epi32(rounded[0], rounded[1]), _mm256_packs_epi32(rounded[2], rounded[3]));
      const __m256i bytes = _mm256_permutevar8x32_epi32(words, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to->q), bytes);
      sums[0] = sum_of(_mm256_add_epi32(rounded[0], rounded[1]));
      sums[1] = sum_of(_mm256_add_epi32(rounded[2], rounded[3]));
      scale = largest / 127;
    } else {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to->q), _mm256_setzero_si256());
    }
    finish_block(*to, scale, sums[0], sums[1], form);
  }
}

}  // namespace

const GemmKernels gemm_avx2{dense_f32_avx2, dense_f16_avx2, dense_bf16_avx2, nullptr, quantize_row, unpack_avx2, strip_avx2, nullptr, 0};

}  // namespace infernum
