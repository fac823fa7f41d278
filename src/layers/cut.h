// Lists of matrices (n, k) cut out of stored ones: experts, and the per-head parts of a latent attention's projection.
#pragma once
#include <vector>

#include "layers/weights.h"

namespace infernum {

/// Which elements of a stored matrix make the matrix (rows, columns): its row i, column j is at row first + i * step, column
/// first_column + j of the stored one or of its transpose.
struct Cut {
  int64_t first = 0, step = 1, rows = 0, first_column = 0, columns = 0;
  bool transposed = false;
};

/// This rank's part of the rows or columns.
Cut part_of(Cut cut, const StoredTensor& t, Split how, int rank, int ranks);

/// The cut of every matrix: in place where it is a run of whole rows, else copied; only described where there is no data.
std::vector<StoredTensor> cut_out(std::vector<StoredTensor> matrices, const Cut& cut);

/// The matrices of a stack (E, n, k), in place.
std::vector<StoredTensor> matrices_of(const StoredTensor& stack);

/// Matrices of one shape behind each other: a copy (E, n, k); only described when one has no data.
StoredTensor stack(const std::vector<StoredTensor>& matrices);

}  // namespace infernum
