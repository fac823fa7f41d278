#include "formats/slice.h"

#include <cstring>
#include <vector>

namespace infernum {

StoredTensor slice_rows(const StoredTensor& t, int64_t begin, int64_t end) {
  check(t.shape.rank() >= 1 && begin >= 0 && begin <= end && end <= t.shape[0], "slice of rows: outside of the tensor", t.name, t.shape,
        begin, end);
  StoredTensor s = t;
  const int64_t row = t.shape[0] ? t.bytes / t.shape[0] : 0;
  s.shape = t.shape.with_first(end - begin);
  s.bytes = row * (end - begin);
  if (t.data) s.data = t.data + row * begin;
  return s;
}

StoredTensor slice_columns(const StoredTensor& t, int64_t begin, int64_t end) {
  const int block = info(t.dtype).block;
  check(t.shape.rank() == 2 && begin >= 0 && begin <= end && end <= t.shape[1], "slice of columns: outside of the tensor", t.name, t.shape,
        begin, end);
  check(begin % block == 0 && end % block == 0, "slice of columns: cuts through a block", t.name, t.dtype, begin, end, "block", block);
  StoredTensor s = t;
  s.shape = {t.shape[0], end - begin};
  s.bytes = bytes_of(t.dtype, s.shape.elements());
  if (!t.data) return s;
  auto copy = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(s.bytes));
  const int64_t row = bytes_of(t.dtype, t.shape[1]), part = bytes_of(t.dtype, end - begin), first = bytes_of(t.dtype, begin);
  for (int64_t r = 0; r < t.shape[0]; r++) std::memcpy(copy->data() + r * part, t.data + r * row + first, static_cast<size_t>(part));
  s.data = copy->data();
  s.owner = std::move(copy);
  s.file = nullptr;
  return s;
}

StoredTensor slice_stack(const StoredTensor& t, int64_t e) {
  check(t.shape.rank() == 3 && e >= 0 && e < t.shape[0], "slice of a stack: outside of the tensor", t.name, t.shape, e);
  StoredTensor s = t;
  s.shape = {t.shape[1], t.shape[2]};
  s.bytes = t.bytes / t.shape[0];
  if (t.data) s.data = t.data + e * s.bytes;
  return s;
}

}  // namespace infernum
