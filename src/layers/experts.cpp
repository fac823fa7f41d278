#include "layers/experts.h"

#include "core/mapped_file.h"
#include "layers/cut.h"

namespace infernum {
namespace {

enum class Storage { PerExpert, Stacked, Fused, FusedTransposed, Mxfp4 };

/// GGUF keeps the suffix where Hugging Face's fused tensors have none.
std::string fused_name(const WeightSource& source, const std::string& path, const std::string& leaf) {
  return path + "." + leaf + (source.has(path + "." + leaf + ".weight") ? ".weight" : "");
}

std::string_view leaf_of(const ExpertNames& names, ExpertMatrix which) {
  return which == ExpertMatrix::Gate ? names.gate : which == ExpertMatrix::Up ? names.up : names.down;
}

Storage storage_of(const WeightSource& source, const std::string& path, const MixtureShape& m) {
  if (source.has(path + "." + std::string(m.names.gate) + ".weight")) return Storage::Stacked;
  if (source.has(path + ".gate_up_proj_blocks")) return Storage::Mxfp4;
  const std::string gate_up = fused_name(source, path, "gate_up_proj");
  if (!source.has(gate_up)) return Storage::PerExpert;
  const bool transposed = source.shape(gate_up) == Shape{m.experts, m.hidden_size, 2 * m.width} &&
                          source.shape(fused_name(source, path, "down_proj")) == Shape{m.experts, m.width, m.hidden_size};
  return transposed ? Storage::FusedTransposed : Storage::Fused;
}

/// A stack (E, n, k) of MXFP4 whose numbers and scales are two tensors, as the blocks of GGUF: a scale, then 16 bytes of which byte j holds
/// elements j and j + 16, where the file has elements 2 j and 2 j + 1.
StoredTensor read_mxfp4(WeightSource& source, const std::string& name, int64_t experts, int64_t n, int64_t k) {
  constexpr int64_t width = 32, packed = width / 2;
  check(k % width == 0, "experts: rows of MXFP4 are whole blocks of 32", name, k);
  const StoredTensor numbers = source.read(name + "_blocks", {experts, n, k / width, packed});
  const StoredTensor scales = source.read(name + "_scales", {experts, n, k / width});
  StoredTensor t;
  t.name = name;
  t.dtype = DType::MXFP4;
  t.shape = {experts, n, k};
  t.bytes = bytes_of(t.dtype, t.shape.elements());
  if (!numbers.data || !scales.data) return t;
  check(numbers.dtype == DType::U8 && scales.dtype == DType::U8, "experts: MXFP4 is stored as bytes", name, numbers.dtype, scales.dtype);
  auto blocks = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(t.bytes));
  std::byte* out = blocks->data();
  for (int64_t b = 0; b < scales.bytes; b++) {
    const std::byte* in = numbers.data + b * packed;
    const auto code = [in](int64_t i) { return (in[i / 2] >> (i % 2 * 4)) & std::byte{15}; };
    *out++ = scales.data[b];
    for (int64_t j = 0; j < packed; j++) *out++ = code(j) | code(j + packed) << 4;
  }
  for (const StoredTensor* part : {&numbers, &scales})
    if (part->file) part->file->advise(part->span(), PageAdvice::DontNeed);
  t.data = blocks->data();
  t.owner = std::move(blocks);
  return t;
}

/// Rows of gate or up among those of the fused matrix.
Cut rows_of(const MixtureShape& m, ExpertMatrix which) {
  Cut cut;
  cut.rows = which == ExpertMatrix::Down ? m.hidden_size : m.width;
  cut.columns = which == ExpertMatrix::Down ? m.width : m.hidden_size;
  return cut;
}
Cut rows_of_fused(const MixtureShape& m, ExpertMatrix which) {
  Cut cut = rows_of(m, which);
  if (which == ExpertMatrix::Down) return cut;
  cut.step = m.interleaved ? 2 : 1;
  cut.first = which == ExpertMatrix::Gate ? 0 : m.interleaved ? 1 : m.width;
  return cut;
}

}  // namespace

std::vector<StoredTensor> read_experts(WeightSource& source, const std::string& path, const MixtureShape& m, ExpertMatrix which, int rank,
                                       int ranks) {
  const bool down = which == ExpertMatrix::Down;
  const std::string leaf(leaf_of(m.names, which));
  const Storage storage = storage_of(source, path, m);
  std::vector<StoredTensor> matrices;
  Cut cut = rows_of(m, which);
  if (storage == Storage::PerExpert) {
    for (int64_t e = 0; e < m.experts; e++)
      matrices.push_back(source.read(path + "." + std::to_string(e) + "." + leaf + ".weight", {cut.rows, cut.columns}));
  } else if (storage == Storage::Stacked) {
    const std::string plain = path + "." + leaf;
    matrices = matrices_of(source.read(source.has(plain) ? plain : plain + ".weight", {m.experts, cut.rows, cut.columns}));
  } else {
    cut = rows_of_fused(m, which);
    cut.transposed = storage == Storage::FusedTransposed;
    const int64_t n = down ? cut.rows : 2 * m.width, k = cut.columns;
    const std::string name = fused_name(source, path, down ? "down_proj" : "gate_up_proj");
    matrices = matrices_of(storage == Storage::Mxfp4 ? read_mxfp4(source, name, m.experts, n, k)
                                                     : source.read(name, cut.transposed ? Shape{m.experts, k, n} : Shape{m.experts, n, k}));
  }
  cut = part_of(cut, matrices.front(), down ? Split::Cols : Split::Rows, rank, ranks);
  return cut_out(std::move(matrices), cut);
}

StoredTensor read_expert_biases(WeightSource& source, const std::string& path, const MixtureShape& m, ExpertMatrix which, int rank,
                                int ranks) {
  const bool down = which == ExpertMatrix::Down;
  const std::string leaf(leaf_of(m.names, which));
  const Storage storage = storage_of(source, path, m);
  const int64_t n = rows_of(m, which).rows;
  std::vector<StoredTensor> columns;  // a bias is a matrix (n, 1)
  const auto add = [&](StoredTensor t, int64_t size) {
    t.shape = {size, 1};
    columns.push_back(std::move(t));
  };
  Cut cut{.rows = n, .columns = 1};
  if (storage == Storage::PerExpert) {
    for (int64_t e = 0; e < m.experts; e++) add(source.read(path + "." + std::to_string(e) + "." + leaf + ".bias", {n}), n);
  } else {
    const bool fused = storage != Storage::Stacked;
    const std::string name = path + "." + (!fused ? leaf + ".bias" : down ? "down_proj_bias" : "gate_up_proj_bias");
    const int64_t size = fused && !down ? 2 * m.width : n;
    const StoredTensor whole = source.read(name, {m.experts, size});
    for (int64_t e = 0; e < m.experts; e++) add(slice_rows(whole, e, e + 1), size);
    if (fused) {
      cut.first = rows_of_fused(m, which).first;
      cut.step = rows_of_fused(m, which).step;
    }
  }
  if (!down) cut = part_of(cut, columns.front(), Split::Rows, rank, ranks);
  StoredTensor biases = stack(cut_out(std::move(columns), cut));
  biases.shape = {m.experts, cut.rows};
  return biases;
}

}  // namespace infernum
