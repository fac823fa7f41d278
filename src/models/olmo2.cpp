#include "models/olmo2.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family olmo2_family = family<olmo2::Config, olmo2::Olmo2>("olmo2", {"Olmo2ForCausalLM"});

}  // namespace infernum
