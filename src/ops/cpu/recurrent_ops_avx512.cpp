// RecurrentOps compiled for AVX512.
#include "ops/cpu/recurrent_ops_impl.h"

namespace infernum {

const RecurrentOps& recurrent_ops_avx512();
const RecurrentOps& recurrent_ops_avx512() { return recurrent_ops_here; }

}  // namespace infernum
