#include "models/gemma4.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family gemma4_family = family<gemma4::Config, gemma4::Gemma4>("gemma4", {"Gemma4ForCausalLM", "Gemma4ForConditionalGeneration"});

}  // namespace infernum
