#include "layers/latent_attention.h"

#include "core/half.h"
#include "quant/quant.h"

namespace infernum {
namespace {

/// Rows that are still blocks cannot be transposed: in F16, which keeps more digits of small numbers than BF16.
StoredTensor dense(const StoredTensor& t) {
  if (is_float(t.dtype)) return t;
  StoredTensor d = t;
  d.dtype = DType::F16;
  d.bytes = bytes_of(d.dtype, d.shape.elements());
  d.file = nullptr;
  d.data = nullptr;
  d.owner = nullptr;
  if (!t.data) return d;
  check(is_gguf_block(t.dtype), "weights: no conversion from this dtype to F16", t.name, t.dtype);
  std::vector<float> row(static_cast<size_t>(t.shape[1]));
  auto copy = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(d.bytes));
  const int64_t from = bytes_of(t.dtype, t.shape[1]), to = bytes_of(d.dtype, t.shape[1]);
  for (int64_t i = 0; i < t.shape[0]; i++) {
    dequantize(t.dtype, t.data + i * from, row.data(), t.shape[1]);
    quantize(d.dtype, row.data(), copy->data() + i * to, t.shape[1]);
  }
  d.data = copy->data();
  d.owner = std::move(copy);
  return d;
}

struct HeadRange {
  int64_t begin, end;
};

HeadRange heads_of(const LatentAttentionShape& s, int rank, int ranks) {
  check(s.heads % ranks == 0, "tensor parallelism: heads must divide among the ranks", s.heads, "ranks", ranks);
  return {rank * (s.heads / ranks), (rank + 1) * (s.heads / ranks)};
}

/// Of a stack (heads, n, k) this rank's heads.
std::vector<StoredTensor> stored_stack(WeightSource& source, const std::string& name, const Shape& shape, HeadRange heads) {
  auto all = matrices_of(source.read(name, shape));
  return {all.begin() + heads.begin, all.begin() + heads.end};
}

/// Of every head's rows in kv_b_proj those from `first` on.
std::vector<StoredTensor> rows_of_heads(WeightSource& source, const std::string& path, const LatentAttentionShape& s, HeadRange heads,
                                        int64_t first, int64_t rows) {
  const int64_t per_head = s.qk_nope_head_dim + s.v_head_dim;
  const StoredTensor kv_b = source.read(path + ".kv_b_proj.weight", {s.heads * per_head, s.kv_lora_rank});
  std::vector<StoredTensor> list;
  for (int64_t h = heads.begin; h < heads.end; h++) list.push_back(slice_rows(kv_b, h * per_head + first, h * per_head + first + rows));
  return list;
}

}  // namespace

std::vector<StoredTensor> read_key_expansion(WeightSource& source, const std::string& path, const LatentAttentionShape& s, int rank,
                                             int ranks) {
  const HeadRange heads = heads_of(s, rank, ranks);
  const std::string stacked = path + ".k_b_proj.weight";
  if (source.has(stacked)) return stored_stack(source, stacked, {s.heads, s.kv_lora_rank, s.qk_nope_head_dim}, heads);
  auto keys = rows_of_heads(source, path, s, heads, 0, s.qk_nope_head_dim);
  for (StoredTensor& k : keys) k = dense(k);
  return cut_out(std::move(keys), {.rows = s.kv_lora_rank, .columns = s.qk_nope_head_dim, .transposed = true});
}

std::vector<StoredTensor> read_value_expansion(WeightSource& source, const std::string& path, const LatentAttentionShape& s, int rank,
                                               int ranks) {
  const HeadRange heads = heads_of(s, rank, ranks);
  const std::string stacked = path + ".v_b_proj.weight";
  if (source.has(stacked)) return stored_stack(source, stacked, {s.heads, s.v_head_dim, s.kv_lora_rank}, heads);
  return rows_of_heads(source, path, s, heads, s.qk_nope_head_dim, s.v_head_dim);
}

}  // namespace infernum
