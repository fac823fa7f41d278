// SwiGlu, GeGlu and ClampedSwiGlu fused: gate and up are read once, the product written once.
#include "blocks/clamped_swiglu.h"
#include "blocks/geglu.h"
#include "blocks/swiglu.h"
#include "ops/cuda/activations.cuh"
#include "ops/cuda/map_rows.cuh"

namespace infernum {
namespace {

struct SwiGluOf {
  __device__ float operator()(float g, float u) const { return cuda::silu(g) * u; }
};
struct GeGluOf {
  __device__ float operator()(float g, float u) const { return cuda::gelu_tanh(g) * u; }
};
struct ClampedSwiGluOf {
  float alpha, limit;
  __device__ float operator()(float g, float u) const {
    const float capped = g > limit ? limit : g;  // NaN stays NaN
    return (cuda::clamp(u, -limit, limit) + 1.f) * capped * cuda::sigmoid(alpha * capped);
  }
};

}  // namespace

void kernel(SwiGlu, Queue<Cuda>& q, View<Cuda> y, View<Cuda> gate, View<Cuda> up) {
  cuda::map_elements(q, SwiGlu::name, SwiGluOf{}, y, gate, up);
}

void kernel(GeGlu, Queue<Cuda>& q, View<Cuda> y, View<Cuda> gate, View<Cuda> up) {
  cuda::map_elements(q, GeGlu::name, GeGluOf{}, y, gate, up);
}

void kernel(ClampedSwiGlu, Queue<Cuda>& q, View<Cuda> y, View<Cuda> gate, View<Cuda> up, float alpha, float limit) {
  cuda::map_elements(q, ClampedSwiGlu::name, ClampedSwiGluOf{alpha, limit}, y, gate, up);
}

}  // namespace infernum
