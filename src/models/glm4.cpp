#include "models/glm4.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family glm4_family = family<glm4::Config, glm4::Glm4>("glm4", {"Glm4ForCausalLM"});

}  // namespace infernum
