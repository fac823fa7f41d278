// Values between host vectors and CPU tensors.
#pragma once
#include <vector>

#include "backends/cpu/queue.h"
#include "core/tensor.h"

namespace infernum {

/// All elements as floats; F32, F16, BF16 or I32.
std::vector<float> to_host(Queue<Cpu>& queue, const View<Cpu>& view);

/// A tensor with a copy of `values` in the given float dtype.
Tensor<Cpu> from_host(Device<Cpu>& device, const Shape& shape, DType dtype, const std::vector<float>& values);
Tensor<Cpu> from_host(Device<Cpu>& device, const Shape& shape, const std::vector<int32_t>& values);

/// All bytes zero; pages that are never written stay unmapped, so an unused part costs nothing. For the state of sequences: zeros keep
/// 0 * garbage from becoming NaN.
Tensor<Cpu> zeros(Device<Cpu>& device, const Shape& shape, DType dtype);

}  // namespace infernum
