// RowOps for any processor, and the choice between the tables.
#include "ops/cpu/row_ops_impl.h"

namespace infernum {

#if defined(__x86_64__)
const RowOps& row_ops_avx2();
const RowOps& row_ops_avx512();
#endif

const RowOps& row_ops(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::Avx512) return row_ops_avx512();
  if (isa == Isa::Avx2) return row_ops_avx2();
#endif
  return (void)isa, row_ops_here;
}

}  // namespace infernum
