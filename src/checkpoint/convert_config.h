// The hyper-parameters of config.json as GGUF metadata.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "checkpoint/gguf_family.h"

namespace infernum {

class GgufWriter;

/// Sets the keys under `<arch>.` from a text_config(). Warns of settings that the format cannot express.
void write_hyper_parameters(const nlohmann::json& config, const GgufFamily& family, GgufWriter& writer);

/// Divisors of the inverse frequencies, one for each pair of rotary dimensions, that GGUF keeps in tensors.
struct RopeFactors {
  std::vector<float> all;                          ///< rope_freqs.weight: llama3 scaling, the pairs of gemma4 that do not rotate
  std::vector<float> long_context, short_context;  ///< rope_factors_{long,short}.weight: longrope
};
RopeFactors rope_factors(const nlohmann::json& config, const GgufFamily& family);

}  // namespace infernum
