// F16 and BF16 as storage types: two bytes, converted to and from float; arithmetic is done in float.
#pragma once
#include <bit>
#include <cstdint>

namespace infernum {

/// Upper half of a float; round to nearest even, NaN stays NaN.
struct BF16 {
  uint16_t bits = 0;
  BF16() = default;
  explicit BF16(float f) {
    const uint32_t u = std::bit_cast<uint32_t>(f);
    bits =
        (u & 0x7fffffff) > 0x7f800000 ? static_cast<uint16_t>(u >> 16 | 0x40) : static_cast<uint16_t>((u + 0x7fff + (u >> 16 & 1)) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};

/// IEEE binary16 in plain integer arithmetic (kernels with F16C convert in hardware).
struct F16 {
  uint16_t bits = 0;
  F16() = default;
  explicit F16(float f) {
    const uint32_t u = std::bit_cast<uint32_t>(f), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
    if (a > 0x7f800000) {
      bits = static_cast<uint16_t>(sign | 0x7e00);
    } else if (a >= 0x477ff000) {  // rounds to 65536 or more
      bits = static_cast<uint16_t>(sign | 0x7c00);
    } else if (a < 0x38800000) {  // subnormal: adding 0.5 aligns the mantissa and rounds to nearest even
      bits = static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(std::bit_cast<float>(a) + 0.5f) - 0x3f000000));
    } else {
      bits = static_cast<uint16_t>(sign | ((a - 0x38000000 + 0xfff + (a >> 13 & 1)) >> 13));
    }
  }
  explicit operator float() const {
    const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16, a = bits & 0x7fff;
    if (a >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000 | (a & 0x3ff) << 13);
    if (a >= 0x400) return std::bit_cast<float>(sign | ((a << 13) + 0x38000000));
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(static_cast<float>(a) * 0x1p-24f));
  }
};

static_assert(sizeof(BF16) == 2 && sizeof(F16) == 2);

}  // namespace infernum
