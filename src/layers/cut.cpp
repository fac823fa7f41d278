#include "layers/cut.h"

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

bool in_place(const StoredTensor& t, const Cut& cut) { return !cut.transposed && cut.step == 1 && cut.columns == t.shape[1]; }

/// Parts of one tensor have names of their own, so that a trace counts each: "gate_up_proj[768:1536]", every second row "[1:1536:2]".
std::string name_of_part(const StoredTensor& t, const Cut& cut) {
  if (cut.rows == t.shape[cut.transposed ? 1 : 0]) return t.name;
  const std::string range = std::to_string(cut.first) + ":" + std::to_string(cut.first + cut.rows * cut.step - cut.step + 1);
  return t.name + "[" + range + (cut.step > 1 ? ":" + std::to_string(cut.step) : "") + "]";
}

void check_one_dtype(const std::vector<StoredTensor>& matrices) {
  const StoredTensor& first = matrices.front();
  for (const StoredTensor& m : matrices)  // of a missing one the type is not known
    check(!m.data || !first.data || m.dtype == first.dtype, "experts: all experts of a layer must have one dtype", m.name, m.dtype,
          first.dtype);
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

std::vector<StoredTensor> cut_out(std::vector<StoredTensor> matrices, const Cut& cut) {
  check_one_dtype(matrices);
  const auto cut_bytes = [&](const StoredTensor& t) { return bytes_of(t.dtype, cut.rows * cut.columns); };
  int64_t copied = 0;
  for (const StoredTensor& m : matrices)
    if (m.data && !in_place(m, cut)) copied += cut_bytes(m);
  // One piece of memory, so that large ones lie in huge pages where the system has them.
  const auto copies = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(copied));
  std::byte* out = copies->data();
  for (StoredTensor& m : matrices) {
    const StoredTensor whole = m;
    m.name = name_of_part(whole, cut);
    m.shape = {cut.rows, cut.columns};
    m.bytes = cut_bytes(m);
    if (!m.data) continue;
    if (in_place(whole, cut)) {
      m.data += cut.first * bytes_of(m.dtype, cut.columns);
      continue;
    }
    copy_cut(out, whole, cut);
    if (whole.file) whole.file->advise(whole.span(), PageAdvice::DontNeed);  // the copy takes their place
    m.data = out;
    m.owner = copies;
    m.file = nullptr;
    out += m.bytes;
  }
  return matrices;
}

std::vector<StoredTensor> matrices_of(const StoredTensor& stack) {
  std::vector<StoredTensor> list;
  for (int64_t e = 0; e < stack.shape[0]; e++) list.push_back(slice_stack(stack, e));
  return list;
}

StoredTensor stack(const std::vector<StoredTensor>& matrices) {
  check_one_dtype(matrices);
  StoredTensor s = matrices.front();
  s.shape = s.shape.prepended(static_cast<int64_t>(matrices.size()));
  s.bytes = bytes_of(s.dtype, s.shape.elements());
  s.data = nullptr;
  s.owner = nullptr;
  s.file = nullptr;
  if (!std::all_of(matrices.begin(), matrices.end(), [](const StoredTensor& m) { return m.data; })) return s;
  auto copy = std::make_shared<std::vector<std::byte>>();
  for (const StoredTensor& m : matrices) copy->insert(copy->end(), m.data, m.data + m.bytes);
  s.data = copy->data();
  s.owner = std::move(copy);
  return s;
}

}  // namespace infernum
