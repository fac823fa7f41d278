// Parts of stored matrices: rows for one rank, columns for one rank, one expert of a stack.
#pragma once
#include "checkpoint/stored_tensor.h"

namespace infernum {

/// Rows begin..end of a matrix (n, k); shares the storage.
StoredTensor slice_rows(const StoredTensor& t, int64_t begin, int64_t end);
/// Columns begin..end of a matrix, copied; a block type is cut between blocks only.
StoredTensor slice_columns(const StoredTensor& t, int64_t begin, int64_t end);
/// Matrix e of a stack (E, n, k).
StoredTensor slice_stack(const StoredTensor& t, int64_t e);

}  // namespace infernum
