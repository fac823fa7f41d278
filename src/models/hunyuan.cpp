#include "models/hunyuan.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family hunyuan_family = family<hunyuan::Config, hunyuan::Hunyuan>("hunyuan_v1_dense", {"HunYuanDenseV1ForCausalLM"});

}  // namespace infernum
