#include "models/smollm3.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family smollm3_family = family<smollm3::Config, llama::Llama>("smollm3", {"SmolLM3ForCausalLM"});

}  // namespace infernum
