// Which tensors a GGUF file of a Hugging Face checkpoint holds.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "checkpoint/convert_rows.h"
#include "checkpoint/tensor_source.h"

namespace infernum {

/// The general.architecture for a model_type; throws, naming the families, where there is none.
std::string gguf_architecture(const std::string& model_type);

/// Tensors in the order of the file, with experts stacked and, for the architecture llama, rows of q and k reordered for pairs (2i, 2i+1).
/// Types are not chosen yet. Throws for tensors without a place in the file and for missing ones.
std::vector<OutputTensor> plan_tensors(const nlohmann::json& config, const TensorSource& source);

}  // namespace infernum
