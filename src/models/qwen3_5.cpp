#include "models/qwen3_5.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family qwen3_5_family =
    family<qwen3_5::Config, qwen3_5::Qwen3_5>("qwen3_5", {"Qwen3_5ForCausalLM", "Qwen3_5ForConditionalGeneration"}, {"qwen3_5_text"});
const Family qwen3_5_moe_family = family<qwen3_5::MoeConfig, qwen3_5::Qwen3_5Moe>(
    "qwen3_5_moe", {"Qwen3_5MoeForCausalLM", "Qwen3_5MoeForConditionalGeneration"}, {"qwen3_5_moe_text"});

}  // namespace infernum
