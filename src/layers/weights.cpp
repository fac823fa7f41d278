#include "layers/weights.h"

#include <algorithm>

#include "formats/slice.h"
#include "quant/quant.h"

namespace infernum {

StoredTensor split(const StoredTensor& t, Split how, int rank, int ranks) {
  if (how == Split::None || ranks == 1) return t;
  const int64_t size = how == Split::Rows ? t.shape[0] : t.shape.last();
  const int64_t unit = how == Split::Cols ? info(t.dtype).block : 1;
  check(size % (ranks * unit) == 0, "tensor parallelism: a dimension must divide into whole blocks per rank", t.name, t.shape, "ranks",
        ranks, "block", unit);
  const int64_t part = size / ranks;
  return how == Split::Rows ? slice_rows(t, rank * part, (rank + 1) * part) : slice_columns(t, rank * part, (rank + 1) * part);
}

StoredTensor mapped(const StoredTensor& t, float (*f)(float)) {
  StoredTensor result = t;
  result.dtype = DType::F32;
  result.bytes = bytes_of(DType::F32, t.shape.elements());
  if (!t.data) return result;
  auto values = std::make_shared<std::vector<float>>(static_cast<size_t>(t.shape.elements()));
  dequantize(t.dtype, t.data, values->data(), t.shape.elements());
  std::transform(values->begin(), values->end(), values->begin(), f);
  result.data = reinterpret_cast<const std::byte*>(values->data());
  result.owner = std::move(values);
  result.file = nullptr;
  return result;
}

float read_scalar(const StoredTensor& t) {
  float value = 1;
  if (t.data) dequantize(t.dtype, t.data, &value, 1);
  return value;
}

}  // namespace infernum
