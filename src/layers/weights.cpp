#include "layers/weights.h"

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

float read_scalar(const StoredTensor& t) {
  float value = 1;
  if (t.data) dequantize(t.dtype, t.data, &value, 1);
  return value;
}

}  // namespace infernum
