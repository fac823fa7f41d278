// Streams the rows of a tensor through dequantize() and quantize() into the file, a window of rows at a time.
#include "checkpoint/convert_rows.h"

#include <cmath>
#include <cstring>

#include "core/check.h"
#include "quant/quant.h"

namespace infernum {
namespace {

constexpr int64_t chunk_elements = 1 << 16;               // a unit of work for a thread
constexpr int64_t window_elements = 1 << 22;              // converted before it is written
constexpr int64_t block_elements = 32, block_bytes = 16;  // of mxfp4 in safetensors

/// Buffers of one thread.
struct RowBuffers {
  std::vector<float> row;
  std::vector<std::byte> gathered;
};

class Rows {
 public:
  explicit Rows(const OutputTensor& tensor) : tensor_(tensor) {
    elements_ = tensor.shape.last();
    count_ = elements_ == 0 ? 0 : tensor.shape.elements() / elements_;
    for (const StoredTensor* part : tensor.parts) {
      check(tensor.scales || is_float(part->dtype) || is_gguf_block(part->dtype) || part->dtype == tensor.type, "cannot convert",
            part->name, "of type", part->dtype);
      check(part->data != nullptr || part->bytes == 0, "the data of the tensor is missing", part->name);
    }
    if (tensor.parts.empty()) return;
    stored_ = tensor.stored_type();
    run_ = tensor.run > 0 ? tensor.run : elements_;
    part_elements_ = tensor.parts[0]->shape.elements() * (tensor.scales ? 2 : 1);
    const bool whole_blocks = run_ % info(stored_).block == 0;
    copied_ = stored_ == tensor.type && tensor.change == GgufValues::Same && (tensor.step == 1 || is_plain()) && whole_blocks;
    check(whole_blocks && (tensor.step == 1 || is_plain()), "the layout of a GGUF file cuts the blocks of", tensor.parts[0]->name,
          tensor.parts[0]->dtype);
  }

  int64_t count() const { return count_; }
  int64_t elements() const { return elements_; }
  int64_t output_bytes() const { return bytes_of(tensor_.type, elements_); }

  void convert(int64_t row, RowBuffers& scratch, std::byte* out) const {
    if (tensor_.parts.empty()) {
      quantize(tensor_.type, tensor_.values.data() + row * elements_, out, elements_);
      return;
    }
    if (copied_) {
      gather(row, out);
      return;
    }
    scratch.row.resize(static_cast<size_t>(elements_));
    scratch.gathered.resize(static_cast<size_t>(bytes_of(stored_, elements_)));
    gather(row, scratch.gathered.data());
    dequantize(stored_, scratch.gathered.data(), scratch.row.data(), elements_);
    for (float& value : scratch.row) value = changed(value);
    const int64_t bad = find_unquantizable(tensor_.type, scratch.row.data(), elements_);
    if (bad >= 0) report(row, bad, scratch.row[static_cast<size_t>(bad)]);
    quantize(tensor_.type, scratch.row.data(), out, elements_);
  }

 private:
  bool is_plain() const { return info(stored_).block == 1; }
  float changed(float value) const {
    return tensor_.change == GgufValues::PlusOne ? value + 1.0f : tensor_.change == GgufValues::MinusExp ? -std::exp(value) : value;
  }

  /// The first element of run r, counted over all parts.
  int64_t first(int64_t r) const { return tensor_.first ? tensor_.first(r) : r * run_; }

  /// Collects the stored bytes of a row.
  void gather(int64_t row, std::byte* out) const {
    const int64_t runs = elements_ / run_, bytes = bytes_of(stored_, run_);
    for (int64_t r = row * runs; r < (row + 1) * runs; ++r, out += bytes) {
      const int64_t element = first(r), part = element / part_elements_, inside = element % part_elements_;
      const std::byte* data = tensor_.parts[static_cast<size_t>(part)]->data;
      if (tensor_.scales) {
        gather_mxfp4(data, inside, out);
      } else if (tensor_.step == 1) {
        std::memcpy(out, data + bytes_of(stored_, inside), static_cast<size_t>(bytes));
      } else {
        const int64_t size = info(stored_).bytes;
        for (int64_t i = 0; i < run_; ++i)
          std::memcpy(out + i * size, data + (inside + i * tensor_.step) * size, static_cast<size_t>(size));
      }
    }
  }

  /// Byte j of a block holds elements 2 j and 2 j + 1 in safetensors, j and j + 16 behind the exponent in GGUF.
  void gather_mxfp4(const std::byte* data, int64_t element, std::byte* out) const {
    for (int64_t i = 0; i < run_; i += block_elements) {
      const int64_t block = (element + i) / block_elements;
      const std::byte* in = data + block * block_bytes;
      *out++ = tensor_.scales->data[block];
      const auto code = [&](int64_t k) { return k % 2 ? in[k / 2] >> 4 : in[k / 2] & std::byte{15}; };
      for (int64_t j = 0; j < block_bytes; ++j) *out++ = code(j) | code(j + block_bytes) << 4;
    }
  }

  [[noreturn]] void report(int64_t row, int64_t column, float value) const {
    const int64_t runs = elements_ / run_, element = first(row * runs + column / run_) + column % run_ * tensor_.step;
    const StoredTensor& part = *tensor_.parts[static_cast<size_t>(element / part_elements_)];
    const int64_t inside = element % part_elements_, length = std::max<int64_t>(1, tensor_.scales ? elements_ : part.shape.last());
    fail("a weight is not finite or too large for", tensor_.type, "in", part.name, "row", inside / length, "column", inside % length,
         "value", value, "limit", max_magnitude(tensor_.type));
  }

  const OutputTensor& tensor_;
  int64_t count_ = 0, elements_ = 0, run_ = 0, part_elements_ = 0;
  DType stored_ = DType::F32;
  bool copied_ = false;
};

}  // namespace

void write_tensor(const OutputTensor& tensor, GgufWriter& writer, Queue<Cpu>& queue) {
  const Rows rows(tensor);
  if (rows.count() == 0) return;
  const int64_t chunk = std::max<int64_t>(1, chunk_elements / rows.elements()),
                window = std::max<int64_t>(1, window_elements / rows.elements());
  std::vector<std::byte> out;
  for (int64_t begin = 0; begin < rows.count(); begin += window) {
    const int64_t count = std::min(window, rows.count() - begin);
    out.resize(static_cast<size_t>(count * rows.output_bytes()));
    queue.parallel_for(count, chunk, [&](int64_t from, int64_t to) {
      RowBuffers scratch;
      for (int64_t row = from; row < to; ++row) rows.convert(begin + row, scratch, out.data() + row * rows.output_bytes());
    });
    writer.write(out);
  }
}

}  // namespace infernum
