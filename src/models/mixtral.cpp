#include "models/mixtral.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family mixtral_family = family<mixtral::Config, mixtral::Mixtral>("mixtral", {"MixtralForCausalLM"});

}  // namespace infernum
