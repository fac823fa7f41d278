// Quantisation to the blocks of 32 with one scale (and minimum), and to the ternary blocks.
#include <algorithm>
#include <functional>

#include "quant/quantize.h"
#include "quant/rounding.h"

namespace infernum {
namespace {

/// Levels 0..31 of 32 elements to nibbles, and their fifth bits to the word at qh.
void pack_nibbles(const uint8_t (&q)[32], uint8_t (&qs)[16]) {
  for (int j = 0; j < 16; ++j) qs[j] = static_cast<uint8_t>((q[j] & 15) | q[j + 16] << 4);
}
void pack_fifth_bits(const uint8_t (&q)[32], uint8_t (&qh)[4]) {
  for (int byte = 0; byte < 4; ++byte) {
    int bits = 0;
    for (int k = 0; k < 8; ++k) bits |= (q[8 * byte + k] >> 4) << k;
    qh[byte] = static_cast<uint8_t>(bits);
  }
}

/// Scale for levels -half .. half - 1: the extreme element lies exactly on -half, whichever its sign.
F16 quantize_symmetric(const float* x, int half, uint8_t (&q)[32]) {
  const float d = extreme(x, 32) / static_cast<float>(-half), inv = inverse(d), offset = static_cast<float>(half) + 0.5f;
  for (int i = 0; i < 32; ++i) q[i] = static_cast<uint8_t>(floor_level(x[i] * inv + offset, 2 * half - 1));
  return F16(d);
}

/// Scale and minimum for levels 0 .. top that span the range of x.
void quantize_range(const float* x, int top, F16& d, F16& m, uint8_t (&q)[32]) {
  const auto [low, high] = std::minmax_element(x, x + 32);
  const float scale = (*high - *low) / static_cast<float>(top), min = *low, inv = inverse(scale);
  for (int i = 0; i < 32; ++i) q[i] = static_cast<uint8_t>(floor_level((x[i] - min) * inv + 0.5f, top));
  d = F16(scale);
  m = F16(min);
}

/// The ternary scale of least squared error: with the k largest magnitudes on +-1 the best scale is their mean, and the error falls by
/// (their sum)^2 / k. Rows that are ternary already come back exactly.
F16 ternary_scale(const float* x) {
  float magnitude[256];
  for (int i = 0; i < 256; ++i) magnitude[i] = std::abs(x[i]);
  std::sort(magnitude, magnitude + 256, std::greater<>());
  double sum = 0, gain = 0, scale = 0;
  for (int k = 1; k <= 256; ++k) {
    sum += magnitude[k - 1];
    if (sum * sum / k > gain) {
      gain = sum * sum / k;
      scale = sum / k;
    }
  }
  return F16(static_cast<float>(scale));
}

int trit(float x, float inv) { return nearest(x * inv, -1, 1) + 1; }

}  // namespace

void quantize_block(const float* x, BlockQ4_0& b) {
  uint8_t q[32];
  b.d = quantize_symmetric(x, 8, q);
  pack_nibbles(q, b.qs);
}

void quantize_block(const float* x, BlockQ4_1& b) {
  uint8_t q[32];
  quantize_range(x, 15, b.d, b.m, q);
  pack_nibbles(q, b.qs);
}

void quantize_block(const float* x, BlockQ5_0& b) {
  uint8_t q[32];
  b.d = quantize_symmetric(x, 16, q);
  pack_nibbles(q, b.qs);
  pack_fifth_bits(q, b.qh);
}

void quantize_block(const float* x, BlockQ5_1& b) {
  uint8_t q[32];
  quantize_range(x, 31, b.d, b.m, q);
  pack_nibbles(q, b.qs);
  pack_fifth_bits(q, b.qh);
}

void quantize_block(const float* x, BlockQ8_0& b) {
  const float d = std::abs(extreme(x, 32)) / 127, inv = inverse(d);
  b.d = F16(d);
  for (int i = 0; i < 32; ++i) {
    const float v = clamped(x[i] * inv, -127, 127);
    b.qs[i] = static_cast<int8_t>(v + (v < 0 ? -0.5f : 0.5f));  // half away from zero
  }
}

void quantize_block(const float* x, BlockTQ1_0& b) {
  b.d = ternary_scale(x);
  const float inv = inverse(static_cast<float>(b.d));
  // Five trits a byte, the first one most significant, as a fraction of 243 rounded up to 1/256 so that the reader can peel them off.
  const auto run = [&](uint8_t* bytes, int count, int trits) {
    for (int j = 0; j < count; ++j) {
      int q = 0;
      for (int k = 0; k < 5; ++k) q = 3 * q + (k < trits ? trit(x[j + k * count], inv) : 0);
      bytes[j] = static_cast<uint8_t>((q * 256 + 242) / 243);
    }
    x += count * trits;
  };
  run(b.qs, 32, 5);
  run(b.qs + 32, 16, 5);
  run(b.qh, 4, 4);
}

void quantize_block(const float* x, BlockTQ2_0& b) {
  b.d = ternary_scale(x);
  const float inv = inverse(static_cast<float>(b.d));
  for (int n = 0; n < 2; ++n)
    for (int l = 0; l < 32; ++l) {
      int bits = 0;
      for (int j = 0; j < 4; ++j) bits |= trit(x[128 * n + 32 * j + l], inv) << 2 * j;
      b.qs[32 * n + l] = static_cast<uint8_t>(bits);
    }
}

}  // namespace infernum
