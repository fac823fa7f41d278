// RowOps compiled for AVX2.
#include "ops/cpu/row_ops_impl.h"

namespace infernum {

const RowOps& row_ops_avx2();
const RowOps& row_ops_avx2() { return row_ops_here; }

}  // namespace infernum
