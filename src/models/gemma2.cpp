#include "models/gemma2.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family gemma2_family = family<gemma2::Config, gemma2::Gemma2>("gemma2", {"Gemma2ForCausalLM"});

}  // namespace infernum
