#include "models/glm4_moe.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family glm4_moe_family = family<glm4_moe::Config, glm4_moe::Glm4Moe>("glm4_moe", {"Glm4MoeForCausalLM"});

}  // namespace infernum
