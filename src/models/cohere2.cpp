#include "models/cohere2.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family cohere2_family = family<cohere2::Config, cohere2::Cohere2>("cohere2", {"Cohere2ForCausalLM"});

}  // namespace infernum
