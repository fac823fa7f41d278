#include "models/llama.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family llama_family = family<llama::Config, llama::Llama>("llama", {"LlamaForCausalLM"});
const Family mistral_family = family<llama::MistralConfig, llama::Llama>("mistral", {"MistralForCausalLM"});

}  // namespace infernum
