#include "layers/experts.h"

#include "layers/stack.h"

namespace infernum {
namespace {

enum class Storage { PerExpert, Stacked, Fused, FusedTransposed };

/// GGUF keeps the suffix where Hugging Face's fused tensors have none.
std::string fused_name(const WeightSource& source, const std::string& path, const std::string& leaf) {
  return path + "." + leaf + (source.has(path + "." + leaf + ".weight") ? ".weight" : "");
}

std::string_view leaf_of(const ExpertNames& names, ExpertMatrix which) {
  return which == ExpertMatrix::Gate ? names.gate : which == ExpertMatrix::Up ? names.up : names.down;
}

Storage storage_of(const WeightSource& source, const std::string& path, const MixtureShape& m) {
  if (source.has(path + "." + std::string(m.names.gate) + ".weight")) return Storage::Stacked;
  const std::string gate_up = fused_name(source, path, "gate_up_proj");
  if (!source.has(gate_up)) return Storage::PerExpert;
  const bool transposed = source.shape(gate_up) == Shape{m.experts, m.hidden_size, 2 * m.width} &&
                          source.shape(fused_name(source, path, "down_proj")) == Shape{m.experts, m.width, m.hidden_size};
  return transposed ? Storage::FusedTransposed : Storage::Fused;
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

StoredTensor read_experts(WeightSource& source, const std::string& path, const MixtureShape& m, ExpertMatrix which, int rank, int ranks) {
  const bool down = which == ExpertMatrix::Down;
  const std::string leaf(leaf_of(m.names, which));
  const Storage storage = storage_of(source, path, m);
  std::vector<StoredTensor> matrices;
  Cut cut = rows_of(m, which);
  if (storage == Storage::PerExpert) {
    for (int64_t e = 0; e < m.experts; e++)
      matrices.push_back(source.read(path + "." + std::to_string(e) + "." + leaf + ".weight", {cut.rows, cut.columns}));
  } else if (storage == Storage::Stacked) {
    matrices = matrices_of(source.read(path + "." + leaf + ".weight", {m.experts, cut.rows, cut.columns}));
  } else {
    cut = rows_of_fused(m, which);
    cut.transposed = storage == Storage::FusedTransposed;
    const int64_t n = down ? cut.rows : 2 * m.width, k = cut.columns;
    const std::string name = fused_name(source, path, down ? "down_proj" : "gate_up_proj");
    matrices = matrices_of(source.read(name, cut.transposed ? Shape{m.experts, k, n} : Shape{m.experts, n, k}));
  }
  return stack(matrices, part_of(cut, matrices.front(), down ? Split::Cols : Split::Rows, rank, ranks));
}

std::optional<StoredTensor> read_gate_above_up(WeightSource& source, const std::string& path, const MixtureShape& m, int ranks) {
  if (storage_of(source, path, m) != Storage::Fused || m.interleaved || ranks > 1) return {};
  return source.read(fused_name(source, path, "gate_up_proj"), {m.experts, 2 * m.width, m.hidden_size});
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
  StoredTensor biases = stack(columns, cut);
  biases.shape = {m.experts, cut.rows};
  return biases;
}

}  // namespace infernum
