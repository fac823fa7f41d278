#include "models/qwen2.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family qwen2_family = family<qwen2::Config, qwen2::Qwen2>("qwen2", {"Qwen2ForCausalLM"});
const Family qwen2_vl_family = family<qwen2::VlConfig, qwen2::Qwen2>(
    "qwen2_vl", {"Qwen2VLForConditionalGeneration", "Qwen2_5_VLForConditionalGeneration"}, {"qwen2_vl_text", "qwen2_5_vl_text"});

}  // namespace infernum
