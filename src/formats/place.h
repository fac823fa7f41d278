// From a stored tensor to a tensor on a device: in place where the memory allows it, uploaded or repacked where the backend needs that.
#pragma once
#include "backends/cpu/queue.h"
#include "backends/cuda/transfer.h"
#include "backends/trace/trace.h"
#include "checkpoint/stored_tensor.h"
#include "core/tensor.h"
#include "ops/matrices.h"

namespace infernum {

/// As stored. CPU: shares the checkpoint's memory.
Tensor<Cpu> place(Device<Cpu>& device, const StoredTensor& t);
Tensor<Cuda> place(Device<Cuda>& device, const StoredTensor& t);
Tensor<Trace> place(Device<Trace>& device, const StoredTensor& t);

/// A matrix (n, k) of GGUF blocks in the form the backend multiplies fastest.
Tensor<Cpu> place_blocks(Device<Cpu>& device, const StoredTensor& t);
Tensor<Cuda> place_blocks(Device<Cuda>& device, const StoredTensor& t);
Tensor<Trace> place_blocks(Device<Trace>& device, const StoredTensor& t);

/// The same for matrices of one shape and type; in a trace they are one value, a stack.
Matrices<Cpu> place(Device<Cpu>& device, const std::vector<StoredTensor>& list);
Matrices<Cuda> place(Device<Cuda>& device, const std::vector<StoredTensor>& list);
Matrices<Cpu> place_blocks(Device<Cpu>& device, const std::vector<StoredTensor>& list);
Matrices<Cuda> place_blocks(Device<Cuda>& device, const std::vector<StoredTensor>& list);
Matrices<Trace> place(Device<Trace>& device, const std::vector<StoredTensor>& list);
Matrices<Trace> place_blocks(Device<Trace>& device, const std::vector<StoredTensor>& list);

/// Converted to F32, plus `offset`: norms, biases and other vectors.
Tensor<Cpu> place_f32(Device<Cpu>& device, const StoredTensor& t, float offset = 0);
Tensor<Cuda> place_f32(Device<Cuda>& device, const StoredTensor& t, float offset = 0);
Tensor<Trace> place_f32(Device<Trace>& device, const StoredTensor& t, float offset = 0);

/// A vector (n) F32 whose elements all are `value`.
template <class B, Layout L = Full>
Tensor<B, L> constant(Device<B>& device, int64_t n, float value) {
  auto values = std::make_shared<std::vector<float>>(static_cast<size_t>(n), value);
  const auto* bytes = reinterpret_cast<const std::byte*>(values->data());
  return relabel<L>(place_f32(device, {"constant", DType::F32, {n}, bytes, n * 4, values, nullptr}));
}

}  // namespace infernum
