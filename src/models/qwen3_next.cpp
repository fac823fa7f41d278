#include "models/qwen3_next.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family qwen3_next_family = family<qwen3_next::MoeConfig, qwen3_next::Qwen3Next>("qwen3_next", {"Qwen3NextForCausalLM"});

}  // namespace infernum
