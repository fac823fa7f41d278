#include "models/qwen3.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family qwen3_family = family<qwen3::Config, qwen3::Qwen3>("qwen3", {"Qwen3ForCausalLM"});
const Family qwen3_vl_family = family<qwen3::VlConfig, qwen3::Qwen3>("qwen3_vl", {"Qwen3VLForConditionalGeneration"}, {"qwen3_vl_text"});
const Family qwen3_moe_family = family<qwen3::MoeConfig, qwen3::Qwen3Moe>("qwen3_moe", {"Qwen3MoeForCausalLM"});

}  // namespace infernum
