// Which tensors a GGUF file of a Hugging Face checkpoint holds.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "checkpoint/convert_rows.h"
#include "checkpoint/tensor_source.h"

namespace infernum {

/// The family of a model_type; throws, naming the families, where there is none.
const GgufFamily& writable_family(const std::string& model_type);

/// Tensors in the order of the file. Types are not chosen yet. Throws for tensors without a place in the file and for missing ones.
std::vector<OutputTensor> plan_tensors(const nlohmann::json& config, const GgufFamily& family, const TensorSource& source);

}  // namespace infernum
