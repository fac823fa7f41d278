// The list of families: explicit, greppable, without static-initialisation order.
#pragma once
#include <vector>

#include "models/family.h"

namespace infernum {

extern const Family deepseek_v2_family;
extern const Family deepseek_v3_family;
extern const Family glm4_moe_family;
extern const Family gpt_oss_family;
extern const Family llama_family;
extern const Family llama4_family;
extern const Family mistral_family;
extern const Family mixtral_family;
extern const Family gemma2_family;
extern const Family gemma3_family;
extern const Family gemma4_family;
extern const Family qwen2_family;
extern const Family qwen2_vl_family;
extern const Family qwen3_family;
extern const Family qwen3_vl_family;
extern const Family qwen3_moe_family;
extern const Family qwen3_next_family;
extern const Family qwen3_5_family;
extern const Family qwen3_5_moe_family;
extern const Family cohere2_family;
extern const Family ernie4_5_family;
extern const Family glm4_family;
extern const Family granite_family;
extern const Family hunyuan_family;
extern const Family ministral3_family;
extern const Family olmo2_family;
extern const Family olmo3_family;
extern const Family phi3_family;
extern const Family seed_oss_family;
extern const Family smollm3_family;

const std::vector<const Family*>& families();

/// The family of a config's `architectures`, or of a multimodal one the family of its text_config's `model_type`; throws, listing the
/// nearest supported names.
const Family& find_family(const ConfigReader& config);

}  // namespace infernum
