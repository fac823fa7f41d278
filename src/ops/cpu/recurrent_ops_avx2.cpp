// RecurrentOps compiled for AVX2.
#include "ops/cpu/recurrent_ops_impl.h"

namespace infernum {

const RecurrentOps& recurrent_ops_avx2();
const RecurrentOps& recurrent_ops_avx2() { return recurrent_ops_here; }

}  // namespace infernum
