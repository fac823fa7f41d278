#include "models/gemma3.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family gemma3_family =
    family<gemma3::Config, gemma3::Gemma3>("gemma3", {"Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"}, {"gemma3_text"});

}  // namespace infernum
