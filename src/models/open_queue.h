// Where a rank of a model runs: its queue and the type of its activations, from the model's options.
#pragma once
#include <memory>

#include "backends/cpu/queue.h"
#include "backends/cuda/queue.h"
#include "models/model.h"

namespace infernum {

template <class B>
std::unique_ptr<Queue<B>> open_queue(const ModelOptions& options, int rank);
template <>
std::unique_ptr<Queue<Cpu>> open_queue<Cpu>(const ModelOptions& options, int rank);
template <>
std::unique_ptr<Queue<Cuda>> open_queue<Cuda>(const ModelOptions& options, int rank);

/// F32 on the CPU, where products round what they read; on a GPU activations are stored as they are multiplied.
template <class B>
DType activation_dtype(const ModelOptions& options) {
  return std::same_as<B, Cpu> ? DType::F32 : options.dtype;
}

}  // namespace infernum
