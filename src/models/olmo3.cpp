#include "models/olmo3.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family olmo3_family = family<olmo3::Config, olmo2::Olmo2>("olmo3", {"Olmo3ForCausalLM"});

}  // namespace infernum
