// Dequantisation of the blocks of 32 elements, and of the ternary blocks.
#include "quant/dequantize.h"

namespace infernum {
namespace {

/// The fifth bits of a block: bit i belongs to element i.
uint32_t load_word(const uint8_t (&qh)[4]) { return qh[0] | qh[1] << 8 | qh[2] << 16 | static_cast<uint32_t>(qh[3]) << 24; }

/// f(element, nibble) for the 32 elements of a block.
template <class F>
void for_nibbles(const uint8_t (&qs)[16], F f) {
  for (int j = 0; j < 16; ++j) f(j, qs[j] & 15);
  for (int j = 0; j < 16; ++j) f(j + 16, qs[j] >> 4);
}

}  // namespace

void dequantize_block(const BlockQ4_0& b, float* y) {
  const float d(b.d);
  for_nibbles(b.qs, [=](int i, int q) { y[i] = d * static_cast<float>(q - 8); });
}

void dequantize_block(const BlockQ4_1& b, float* y) {
  const float d(b.d), m(b.m);
  for_nibbles(b.qs, [=](int i, int q) { y[i] = d * static_cast<float>(q) + m; });
}

void dequantize_block(const BlockQ5_0& b, float* y) {
  const float d(b.d);
  const uint32_t high = load_word(b.qh);
  for_nibbles(b.qs, [=](int i, int q) { y[i] = d * static_cast<float>((q | static_cast<int>(high >> i & 1) << 4) - 16); });
}

void dequantize_block(const BlockQ5_1& b, float* y) {
  const float d(b.d), m(b.m);
  const uint32_t high = load_word(b.qh);
  for_nibbles(b.qs, [=](int i, int q) { y[i] = d * static_cast<float>(q | static_cast<int>(high >> i & 1) << 4) + m; });
}

void dequantize_block(const BlockQ8_0& b, float* y) {
  const float d(b.d);
  for (int i = 0; i < 32; ++i) y[i] = d * static_cast<float>(b.qs[i]);
}

void dequantize_block(const BlockIQ4_NL& b, float* y) {
  const float d(b.d);
  for_nibbles(b.qs, [=](int i, int q) { y[i] = d * static_cast<float>(iq4_values[q]); });
}

void dequantize_block(const BlockMXFP4& b, float* y) {
  const float d = e8m0_half(b.e);
  for_nibbles(b.qs, [=](int i, int q) { y[i] = d * static_cast<float>(e2m1_doubled[q]); });
}

void dequantize_block(const BlockTQ1_0& b, float* y) {
  // A byte is a fraction of 243 in units of 1/256: times 3^k, keep the fractional part, and the next trit is the integer part of 3 times
  // it.
  constexpr int power[5] = {1, 3, 9, 27, 81};
  const float d(b.d);
  const auto run = [&](const uint8_t* bytes, int count, int trits) {
    for (int k = 0; k < trits; ++k)
      for (int j = 0; j < count; ++j) *y++ = d * static_cast<float>(((bytes[j] * power[k] & 255) * 3 >> 8) - 1);
  };
  run(b.qs, 32, 5);
  run(b.qs + 32, 16, 5);
  run(b.qh, 4, 4);
}

void dequantize_block(const BlockTQ2_0& b, float* y) {
  const float d(b.d);
  for (int n = 0; n < 2; ++n)
    for (int j = 0; j < 4; ++j)
      for (int l = 0; l < 32; ++l) *y++ = d * static_cast<float>((b.qs[32 * n + l] >> 2 * j & 3) - 1);
}

}  // namespace infernum
