// Activation functions of sixteen floats. Internal linkage throughout, as in vec.h.
#pragma once
#include "ops/cpu/vec.h"

namespace infernum {
namespace {

inline Vec absolute(Vec x) { return (Vec)((VecI)x & 0x7fffffff); }

inline Vec sigmoid(Vec x) { return 1.f / (1.f + exp(-x)); }

/// Relative error below 4e-7. Near 0, where 1 - 2 / (e^2x + 1) cancels, the polynomial of Cephes (Moshier).
inline Vec tanh(Vec x) {
  const Vec a = absolute(x), z = x * x;
  Vec p = splat(-5.70498872745e-3f);
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const Vec near = p * z * x + x, far = 1.f - 2.f / (exp(2.f * a) + 1.f);
  const Vec signed_far = (Vec)((VecI)far | ((VecI)x & static_cast<int32_t>(0x80000000)));
  return a < splat(0.625f) ? near : signed_far;
}

/// x / 2 * (1 + tanh(u)) = x * sigmoid(2u), which does not cancel.
inline Vec gelu_tanh(Vec x) {
  const Vec twice_u = 1.5957691216f * (x + 0.044715f * x * x * x);
  return x / (1.f + exp(-twice_u));
}

/// x / 2 * erfc(-x / sqrt(2)); erfc of z >= 0 as t * exp(-z^2 + p(t)), t = 1 / (1 + z / 2), relative error 1.2e-7 (Press et al.).
inline Vec gelu(Vec x) {
  const Vec z = absolute(x) * 0.70710678119f, t = 1.f / (1.f + 0.5f * z);
  Vec p = splat(0.17087277f);
  p = p * t - 0.82215223f;
  p = p * t + 1.48851587f;
  p = p * t - 1.13520398f;
  p = p * t + 0.27886807f;
  p = p * t - 0.18628806f;
  p = p * t + 0.09678418f;
  p = p * t + 0.37409196f;
  p = p * t + 1.00002368f;
  p = p * t - 1.26551223f;
  const Vec tail = t * exp(p - z * z);
  return 0.5f * x * (x < splat(0) ? tail : 2.f - tail);
}

/// NaN stays NaN.
inline Vec clamp(Vec x, float low, float high) {
  const Vec raised = x < splat(low) ? splat(low) : x;
  return raised > splat(high) ? splat(high) : raised;
}

}  // namespace
}  // namespace infernum
