#include "models/ministral3.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family ministral3_family = family<ministral3::Config, ministral3::Ministral3>("ministral3", {"Ministral3ForCausalLM"});

}  // namespace infernum
