#include "models/qwen2.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family qwen2_family = family<qwen2::Config, qwen2::Qwen2>("qwen2", {"Qwen2ForCausalLM"});

}  // namespace infernum
