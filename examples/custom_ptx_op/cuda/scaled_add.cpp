// scaled_add on CUDA: names the kernel in scaled_add.ptx for the type, and launches it as that file says. No CUDA compiler is needed.
#include "../scaled_add.h"

#include "backends/cuda/ptx_module.h"

namespace example {
namespace {

constexpr const char* file = "examples/custom_ptx_op/scaled_add.ptx";
constexpr int64_t threads = 256;

const char* kernel_for(DType dtype) {
  return dtype == DType::F32 ? "scaled_add_f32" : dtype == DType::F16 ? "scaled_add_f16" : "scaled_add_bf16";
}

}  // namespace

void kernel(ScaledAdd, Queue<Cuda>& q, View<Cuda> y, View<Cuda> h, View<Cuda> x, float scale) {
  const PtxGrid grid{{y.rows(), (y.cols() + threads - 1) / threads, 1}, {threads, 1, 1}, 0};
  q.module(file).launch(q, kernel_for(y.dtype), grid, y.data, h.data, x.data, y.stride, h.stride, x.stride, y.cols(), scale);
}

}  // namespace example
