// Rounding to integer levels that is defined for every float: NaN goes to the lowest level, infinities to the ends.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

namespace infernum {

/// Two steps without a branch, so that loops over it become vector code.
inline float clamped(float v, float low, float high) {
  const float raised = v > low ? v : low;
  return raised < high ? raised : high;
}

/// Nearest integer in [low, high], ties to even; |low|, |high| < 2^22. Adding 1.5 * 2^23 leaves the integer in the mantissa.
inline int nearest(float v, int low, int high) {
  return std::bit_cast<int>(clamped(v, static_cast<float>(low), static_cast<float>(high)) + 12582912.0f) - 0x4b400000;
}

/// The same as a float.
inline float nearest_float(float v, float low, float high) { return clamped(v, low, high) + 12582912.0f - 12582912.0f; }

/// Largest integer <= v in [0, high].
inline int floor_level(float v, int high) { return static_cast<int>(clamped(v, 0, static_cast<float>(high))); }

inline float inverse(float d) { return d == 0 ? 0 : 1 / d; }

/// The element of largest magnitude, with its sign.
inline float extreme(const float* x, int n) {
  float best = 0;
  for (int i = 0; i < n; ++i)
    if (std::abs(x[i]) > std::abs(best)) best = x[i];
  return best;
}

}  // namespace infernum
