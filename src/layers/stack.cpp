#include "layers/stack.h"

#include <algorithm>
#include <cstring>

#include "core/mapped_file.h"

namespace infernum {
namespace {

/// out (rows, columns) = the transpose's elements, in tiles that fit the first-level cache.
template <class T>
void copy_transposed(std::byte* out, const StoredTensor& t, const Cut& cut) {
  constexpr int64_t tile = 32;
  for (int64_t j0 = 0; j0 < cut.columns; j0 += tile)
    for (int64_t i0 = 0; i0 < cut.rows; i0 += tile)
      for (int64_t i = i0; i < std::min(i0 + tile, cut.rows); i++)
        for (int64_t j = j0; j < std::min(j0 + tile, cut.columns); j++) {
          const int64_t from = (cut.first_column + j) * t.shape[1] + cut.first + i * cut.step;
          std::memcpy(out + (i * cut.columns + j) * static_cast<int64_t>(sizeof(T)), t.data + from * static_cast<int64_t>(sizeof(T)),
                      sizeof(T));
        }
}

void copy_cut(std::byte* out, const StoredTensor& t, const Cut& cut) {
  if (cut.transposed) {
    check(info(t.dtype).block == 1 && (info(t.dtype).bytes == 2 || info(t.dtype).bytes == 4),
          "experts: only floats of 2 or 4 bytes can be stored transposed", t.name, t.dtype);
    return info(t.dtype).bytes == 2 ? copy_transposed<uint16_t>(out, t, cut) : copy_transposed<uint32_t>(out, t, cut);
  }
  const int64_t row = bytes_of(t.dtype, t.shape[1]), part = bytes_of(t.dtype, cut.columns), begin = bytes_of(t.dtype, cut.first_column);
  for (int64_t i = 0; i < cut.rows; i++)
    std::memcpy(out + i * part, t.data + (cut.first + i * cut.step) * row + begin, static_cast<size_t>(part));
}

/// Where the cut begins if its elements lie in one piece, else null.
const std::byte* in_one_piece(const StoredTensor& t, const Cut& cut) {
  const bool whole_rows = !cut.transposed && cut.step == 1 && cut.columns == t.shape[1];
  return whole_rows ? t.data + cut.first * bytes_of(t.dtype, t.shape[1]) : nullptr;
}

}  // namespace

Cut part_of(Cut cut, const StoredTensor& t, Split how, int rank, int ranks) {
  const int64_t size = how == Split::Rows ? cut.rows : cut.columns, unit = how == Split::Cols ? info(t.dtype).block : 1;
  check(size % (ranks * unit) == 0, "tensor parallelism: a dimension must divide into whole blocks per rank", t.name, t.shape, "ranks",
        ranks, "block", unit);
  const int64_t part = size / ranks;
  if (how == Split::Rows) {
    cut.first += rank * part * cut.step;
    cut.rows = part;
  } else {
    cut.first_column += rank * part;
    cut.columns = part;
  }
  return cut;
}

StoredTensor stack(const std::vector<StoredTensor>& matrices, const Cut& cut) {
  StoredTensor s = matrices.front();
  s.shape = {static_cast<int64_t>(matrices.size()), cut.rows, cut.columns};
  s.bytes = bytes_of(s.dtype, s.shape.elements());
  const int64_t part = s.bytes / s.shape[0];
  bool complete = true, adjacent = true;
  for (size_t e = 0; e < matrices.size(); e++) {
    complete = complete && matrices[e].data;
    adjacent = adjacent && in_one_piece(matrices[e], cut) && matrices[e].owner == s.owner &&
               in_one_piece(matrices[e], cut) == in_one_piece(matrices[0], cut) + static_cast<int64_t>(e) * part;
  }
  if (complete)
    for (const StoredTensor& m : matrices)
      check(m.dtype == s.dtype, "experts: all experts of a layer must have one dtype", m.name, m.dtype, s.dtype);
  if (complete && adjacent) {
    s.data = in_one_piece(matrices[0], cut);
    return s;
  }
  s.data = nullptr;
  s.owner = nullptr;
  s.file = nullptr;
  if (!complete) return s;
  auto copy = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(s.bytes));
  for (size_t e = 0; e < matrices.size(); e++) {
    copy_cut(copy->data() + static_cast<int64_t>(e) * part, matrices[e], cut);
    if (matrices[e].file) matrices[e].file->advise(matrices[e].span(), PageAdvice::DontNeed);  // the copy takes their place
  }
  s.data = copy->data();
  s.owner = std::move(copy);
  return s;
}

std::vector<StoredTensor> matrices_of(const StoredTensor& stack) {
  std::vector<StoredTensor> list;
  for (int64_t e = 0; e < stack.shape[0]; e++) list.push_back(slice_stack(stack, e));
  return list;
}

}  // namespace infernum
