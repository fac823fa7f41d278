// RowOps compiled for AVX512.
#include "ops/cpu/row_ops_impl.h"

namespace infernum {

const RowOps& row_ops_avx512();
const RowOps& row_ops_avx512() { return row_ops_here; }

}  // namespace infernum
