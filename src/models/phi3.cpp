#include "models/phi3.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family phi3_family = family<phi3::Config, phi3::Phi3>("phi3", {"Phi3ForCausalLM"});

}  // namespace infernum
