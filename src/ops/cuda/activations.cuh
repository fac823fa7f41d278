// Activation functions of one float; the accuracy is that of CUDA's expf, tanhf and erfcf, a few units in the last place.
#pragma once

namespace infernum::cuda {

__device__ inline float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }
__device__ inline float silu(float x) { return x / (1.f + expf(-x)); }

/// x / 2 * (1 + tanh(u)) = x * sigmoid(2u), which does not cancel.
__device__ inline float gelu_tanh(float x) { return x / (1.f + expf(-1.5957691216f * (x + 0.044715f * x * x * x))); }

/// x / 2 * (1 + erf(x / sqrt(2))), whose tail erfc keeps.
__device__ inline float gelu(float x) { return 0.5f * x * erfcf(x * -0.70710678119f); }

/// NaN stays NaN.
__device__ inline float clamp(float x, float low, float high) {
  const float raised = x < low ? low : x;
  return raised > high ? high : raised;
}

}  // namespace infernum::cuda
