#include "models/ernie4_5.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family ernie4_5_family = family<ernie4_5::Config, llama::Llama>("ernie4_5", {"Ernie4_5ForCausalLM"});

}  // namespace infernum
