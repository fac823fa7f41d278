#include "models/seed_oss.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {

const Family seed_oss_family = family<seed_oss::Config, seed_oss::SeedOss>("seed_oss", {"SeedOssForCausalLM"});

}  // namespace infernum
