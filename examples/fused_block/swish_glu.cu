// swish_glu fused on CUDA: a function of an element, which map_elements() applies in 16-byte accesses. Bound by memory: three tensors.
#include "swish_glu.h"

#include "ops/cuda/activations.cuh"
#include "ops/cuda/map_rows.cuh"

namespace example {
namespace {

struct SwishGluOf {
  float beta;
  __device__ float operator()(float gate, float up) const { return gate * cuda::sigmoid(beta * gate) * up; }
};

}  // namespace

void kernel(SwishGlu, Queue<Cuda>& q, View<Cuda> y, View<Cuda> gate, View<Cuda> up, float beta) {
  cuda::map_elements(q, SwishGlu::name, SwishGluOf{beta}, y, gate, up);
}

}  // namespace example
