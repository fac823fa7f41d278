// The list of families: explicit, greppable, without static-initialisation order.
#pragma once
#include <vector>

#include "models/family.h"

namespace infernum {

extern const Family llama_family, mistral_family, mixtral_family, qwen2_family, qwen3_family, qwen3_moe_family;

const std::vector<const Family*>& families();

/// The family of a config's `architectures`; throws, listing the nearest supported names.
const Family& find_family(const ConfigReader& config);

}  // namespace infernum
