// Dequantisation of the K-quants. In all of them n counts halves of 128 elements, j runs of 32 in a half, l elements of a run.
#include "quant/dequantize.h"

namespace infernum {

void dequantize_block(const BlockQ2_K& b, float* y) {
  const float d(b.d), dmin(b.dmin);
  for (int n = 0; n < 2; ++n)
    for (int j = 0; j < 4; ++j)
      for (int half = 0; half < 2; ++half) {
        const int s = b.scales[8 * n + 2 * j + half];
        const uint8_t* qs = b.qs + 32 * n + 16 * half;
        const float scale = d * static_cast<float>(s & 15), min = dmin * static_cast<float>(s >> 4);
        for (int l = 0; l < 16; ++l) *y++ = scale * static_cast<float>(qs[l] >> 2 * j & 3) - min;
      }
}

void dequantize_block(const BlockQ3_K& b, float* y) {
  const float d(b.d);
  for (int n = 0; n < 2; ++n)
    for (int j = 0; j < 4; ++j)
      for (int half = 0; half < 2; ++half) {
        const uint8_t *qs = b.qs + 32 * n + 16 * half, *hmask = b.hmask + 16 * half;
        const float scale = d * static_cast<float>(q3k_scale(b.scales, 8 * n + 2 * j + half));
        for (int l = 0; l < 16; ++l) *y++ = scale * static_cast<float>((qs[l] >> 2 * j & 3) + 4 * (hmask[l] >> (4 * n + j) & 1) - 4);
      }
}

void dequantize_block(const BlockQ4_K& b, float* y) {
  const float d(b.d), dmin(b.dmin);
  for (int sub = 0; sub < 8; ++sub) {
    const auto [s, m] = scale_min(b.scales, sub);
    const float scale = d * static_cast<float>(s), min = dmin * static_cast<float>(m);
    const uint8_t* qs = b.qs + 32 * (sub / 2);
    const int shift = 4 * (sub & 1);
    for (int l = 0; l < 32; ++l) *y++ = scale * static_cast<float>(qs[l] >> shift & 15) - min;
  }
}

void dequantize_block(const BlockQ5_K& b, float* y) {
  const float d(b.d), dmin(b.dmin);
  for (int sub = 0; sub < 8; ++sub) {
    const auto [s, m] = scale_min(b.scales, sub);
    const float scale = d * static_cast<float>(s), min = dmin * static_cast<float>(m);
    const uint8_t* qs = b.qs + 32 * (sub / 2);
    const int shift = 4 * (sub & 1);
    for (int l = 0; l < 32; ++l) *y++ = scale * static_cast<float>((qs[l] >> shift & 15) | (b.qh[l] >> sub & 1) << 4) - min;
  }
}

void dequantize_block(const BlockQ6_K& b, float* y) {
  const float d(b.d);
  for (int n = 0; n < 2; ++n)
    for (int j = 0; j < 4; ++j)
      for (int half = 0; half < 2; ++half) {
        const uint8_t *ql = b.ql + 64 * n + 32 * (j & 1) + 16 * half, *qh = b.qh + 32 * n + 16 * half;
        const float scale = d * static_cast<float>(b.scales[8 * n + 2 * j + half]);
        const int low_shift = 4 * (j >> 1), high_shift = 2 * j;
        for (int l = 0; l < 16; ++l) *y++ = scale * static_cast<float>(((ql[l] >> low_shift & 15) | (qh[l] >> high_shift & 3) << 4) - 32);
      }
}

}  // namespace infernum
