// Streams the rows of a tensor through dequantize() and quantize() into the file, a window of rows at a time.
#include "checkpoint/convert_rows.h"

#include <cstring>

#include "core/check.h"
#include "quant/quant.h"

namespace infernum {
namespace {

constexpr int64_t chunk_elements = 1 << 16;   // a unit of work for a thread
constexpr int64_t window_elements = 1 << 22;  // converted before it is written

/// Rows of the output in source order of its parts.
class Rows {
 public:
  explicit Rows(const OutputTensor& tensor) : tensor_(tensor) {
    // A permuted bias moves single elements: each is a row.
    elements_ = tensor.permuted_heads > 0 && tensor.shape.rank() == 1 ? 1 : tensor.shape.last();
    count_ = elements_ == 0 ? 0 : tensor.shape.elements() / elements_;
    for (const StoredTensor* part : tensor.parts) {
      check(is_float(part->dtype) || is_gguf_block(part->dtype) || part->dtype == tensor.type, "cannot convert", part->name, "of type",
            part->dtype);
      check(part->data != nullptr || part->bytes == 0, "the data of the tensor is missing", part->name);
    }
    if (!tensor.parts.empty()) rows_per_part_ = count_ / static_cast<int64_t>(tensor.parts.size());
    if (tensor.permuted_heads > 0) head_rows_ = rows_per_part_ / tensor.permuted_heads;
  }

  int64_t count() const { return count_; }
  int64_t elements() const { return elements_; }
  int64_t output_bytes() const { return bytes_of(tensor_.type, elements_); }

  /// Converts row `row`; `scratch` has room for a row of floats.
  void convert(int64_t row, float* scratch, std::byte* out) const {
    if (tensor_.parts.empty()) {
      quantize(tensor_.type, tensor_.values.data() + row * elements_, out, elements_);
      return;
    }
    const StoredTensor& part = *tensor_.parts[static_cast<size_t>(row / rows_per_part_)];
    const std::byte* source = part.data + source_row(row % rows_per_part_) * bytes_of(part.dtype, elements_);
    if (part.dtype == tensor_.type) {
      std::memcpy(out, source, static_cast<size_t>(output_bytes()));
      return;
    }
    dequantize(part.dtype, source, scratch, elements_);
    const int64_t bad = find_unquantizable(tensor_.type, scratch, elements_);
    if (bad >= 0) {
      fail("a weight is not finite or too large for", tensor_.type, "in", part.name, "row", source_row(row % rows_per_part_), "column", bad,
           "value", scratch[bad], "limit", max_magnitude(tensor_.type));
    }
    quantize(tensor_.type, scratch, out, elements_);
  }

 private:
  int64_t source_row(int64_t row) const {
    if (head_rows_ == 0) return row;
    const int64_t head = row / head_rows_, in_head = row % head_rows_;
    return head * head_rows_ + in_head % 2 * (head_rows_ / 2) + in_head / 2;
  }

  const OutputTensor& tensor_;
  int64_t count_ = 0, elements_ = 0, rows_per_part_ = 0, head_rows_ = 0;
};

}  // namespace

void write_tensor(const OutputTensor& tensor, GgufWriter& writer, Queue<Cpu>& queue) {
  const Rows rows(tensor);
  if (rows.count() == 0) return;
  const int64_t chunk = std::max<int64_t>(1, chunk_elements / rows.elements()),
                window = std::max<int64_t>(1, window_elements / rows.elements());
  std::vector<std::byte> out;
  for (int64_t first = 0; first < rows.count(); first += window) {
    const int64_t count = std::min(window, rows.count() - first);
    out.resize(static_cast<size_t>(count * rows.output_bytes()));
    queue.parallel_for(count, chunk, [&](int64_t begin, int64_t end) {
      std::vector<float> scratch(static_cast<size_t>(rows.elements()));
      for (int64_t row = begin; row < end; ++row) rows.convert(first + row, scratch.data(), out.data() + row * rows.output_bytes());
    });
    writer.write(out);
  }
}

}  // namespace infernum
