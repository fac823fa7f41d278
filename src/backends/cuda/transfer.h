// Values between host vectors and tensors on a CUDA device, and weights on their way there.
#pragma once
#include <span>
#include <vector>

#include "backends/cuda/queue.h"
#include "core/tensor.h"

namespace infernum {

/// All elements as floats; F32, F16, BF16 or I32. Waits for the queue.
std::vector<float> to_host(Queue<Cuda>& queue, const View<Cuda>& view);

/// A tensor with a copy of `values` in the given float dtype.
Tensor<Cuda> from_host(Device<Cuda>& device, const Shape& shape, DType dtype, const std::vector<float>& values);
Tensor<Cuda> from_host(Device<Cuda>& device, const Shape& shape, const std::vector<int32_t>& values);

/// All bytes zero; for the state of sequences.
Tensor<Cuda> zeros(Device<Cuda>& device, const Shape& shape, DType dtype);

/// Device memory of its own, not of the pool: what lives as long as the model. Throws OutOfMemory when there is not enough.
std::shared_ptr<void> allocate_lasting(Queue<Cuda>& queue, int64_t bytes);

/// What remains of the share `utilization` of the device's memory, whoever took the rest. Throws OutOfMemory when nothing does.
int64_t memory_left(Queue<Cuda>& queue, double utilization);

/// Host memory that the device copies from without a stop in between.
std::shared_ptr<void> allocate_pinned(Queue<Cuda>& queue, int64_t bytes);
/// Copies in the order of the queue; the pinned memory must stay as it is until then.
void upload_pinned(Queue<Cuda>& queue, void* device_memory, const void* pinned, int64_t bytes);

/// Copies to the device through pinned buffers, several threads filling them; done when it returns.
void upload(Queue<Cuda>& queue, void* device_memory, std::span<const std::byte> bytes);

}  // namespace infernum
