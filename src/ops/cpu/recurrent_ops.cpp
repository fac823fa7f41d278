// RecurrentOps for any processor, and the choice between the levels.
#include "ops/cpu/recurrent_ops_impl.h"

namespace infernum {

#if defined(__x86_64__)
const RecurrentOps& recurrent_ops_avx2();
const RecurrentOps& recurrent_ops_avx512();
#endif

const RecurrentOps& recurrent_ops(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::Avx512) return recurrent_ops_avx512();
  if (isa == Isa::Avx2) return recurrent_ops_avx2();
#endif
  return (void)isa, recurrent_ops_here;
}

}  // namespace infernum
