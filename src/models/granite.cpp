#include "models/granite.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family granite_family = family<granite::Config, granite::Granite>("granite", {"GraniteForCausalLM"});

}  // namespace infernum
