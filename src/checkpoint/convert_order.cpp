#include "checkpoint/convert_order.h"

#include <algorithm>

#include "core/check.h"

namespace infernum {
namespace {

void require_rank(const OutputTensor& out, int rank) {
  check(out.parts[0]->shape.rank() == rank, "the tensor has an unexpected number of dimensions for its place in a GGUF file",
        out.parts[0]->name, out.parts[0]->shape, "expected", rank);
}

void require_rows(const OutputTensor& out, int64_t rows, const char* rule) {
  const Shape& s = out.parts[0]->shape;
  check(s.rank() >= 1 && s[0] == rows, rule, out.parts[0]->name, s, "expected rows", rows);
}

/// Rows in the order of `source_row`; of a vector each element is a row.
void reorder_rows(OutputTensor& out, std::function<int64_t(int64_t)> source_row) {
  const Shape& s = out.parts[0]->shape;
  const int64_t length = s.rank() == 1 ? 1 : s.elements() / std::max<int64_t>(1, s[0]);
  // Of conv1d (rows, 1, taps) the last dimension is the run as well.
  out.run = length;
  out.first = [=, rows = std::move(source_row)](int64_t r) { return rows(r) * length; };
}

void pair_heads(OutputTensor& out, int64_t heads, int64_t head_dim) {
  const Shape& s = out.parts[0]->shape;
  check(s.rank() >= 1 && s.rank() <= 2 && s[0] == heads * head_dim && head_dim % 2 == 0,
        "the rows of a projection are heads times head_dim", out.parts[0]->name, s, "heads", heads, "head_dim", head_dim);
  reorder_rows(out, [head_dim](int64_t r) {
    const int64_t in_head = r % head_dim;
    return r - in_head + in_head % 2 * (head_dim / 2) + in_head / 2;
  });
}

/// Sizes of a gated delta network.
struct DeltaNet {
  int64_t key_heads, value_heads, key_dim, value_dim, ratio;
  explicit DeltaNet(const ConfigView& c)
      : key_heads(c.integer("linear_num_key_heads", 1, 65536)),
        value_heads(c.integer("linear_num_value_heads", 1, 65536)),
        key_dim(c.integer("linear_key_head_dim", 1, 65536)),
        value_dim(c.integer("linear_value_head_dim", 1, 65536)),
        ratio(value_heads / key_heads) {
    check(value_heads % key_heads == 0, "config.json: linear_num_key_heads divides linear_num_value_heads", key_heads, value_heads);
  }
  int64_t keys() const { return key_heads * key_dim; }
  int64_t values() const { return value_heads * value_dim; }
  /// The head that comes to place `head` when heads are tiled.
  int64_t tiled(int64_t head) const { return head % key_heads * ratio + head / key_heads; }
};

void tile_values(OutputTensor& out, const DeltaNet& net) {
  const int64_t rows = out.parts[0]->shape.rank() ? out.parts[0]->shape[0] : 0;
  check(rows == net.values() || rows == net.value_heads, "the rows of the tensor are those of the value heads", out.parts[0]->name,
        out.parts[0]->shape, "heads", net.value_heads, "of", net.value_dim);
  const int64_t dim = rows / net.value_heads;
  reorder_rows(out, [=](int64_t r) { return net.tiled(r / dim) * dim + r % dim; });
}

void tile_qkv(OutputTensor& out, const DeltaNet& net) {
  const int64_t qk = 2 * net.keys(), dim = net.value_dim;
  require_rows(out, qk + net.values(), "the rows of the tensor are those of q, k and v");
  reorder_rows(out, [=](int64_t r) { return r < qk ? r : qk + net.tiled((r - qk) / dim) * dim + (r - qk) % dim; });
}

void tile_columns(OutputTensor& out, const DeltaNet& net) {
  require_rank(out, 2);
  const Shape& s = out.parts[0]->shape;
  check(s[1] == net.values(), "the columns of the tensor are those of the value heads", out.parts[0]->name, s, "expected", net.values());
  out.run = net.value_dim;
  out.first = [=](int64_t r) { return r / net.value_heads * net.values() + net.tiled(r % net.value_heads) * net.value_dim; };
}

/// in_proj_qkvz: for each key head its rows q, k, v and z. `gate`: all z, else all q, then all k, then all v.
void ungroup(OutputTensor& out, const DeltaNet& net, bool gate) {
  require_rank(out, 2);
  const int64_t own_values = net.ratio * net.value_dim, group = 2 * net.key_dim + 2 * own_values, keys = net.keys(), dk = net.key_dim;
  require_rows(out, net.key_heads * group, "the rows of the tensor are those of q, k, v and z");
  out.shape = {gate ? net.values() : 2 * keys + net.values(), out.parts[0]->shape[1]};
  reorder_rows(out, [=](int64_t r) {
    if (gate) return r / own_values * group + 2 * dk + own_values + r % own_values;
    if (r < 2 * keys) return r % keys / dk * group + r / keys * dk + r % dk;
    const int64_t v = r - 2 * keys;
    return v / own_values * group + 2 * dk + v % own_values;
  });
}

/// kv_b (Nq (nope + v), R): its keys transposed head by head, or its values.
void split_latent(OutputTensor& out, const ConfigView& config, bool keys) {
  require_rank(out, 2);
  const int64_t heads = config.integer("num_attention_heads"), nope = config.integer("qk_nope_head_dim", 1, 65536),
                v = config.integer("v_head_dim", 1, 65536), rank = out.parts[0]->shape[1];
  require_rows(out, heads * (nope + v), "the rows of kv_b_proj are heads times qk_nope_head_dim + v_head_dim");
  out.shape = keys ? Shape{heads, rank, nope} : Shape{heads, v, rank};
  out.step = keys ? rank : 1;
  out.first = [=](int64_t r) { return keys ? r / rank * (nope + v) * rank + r % rank : (r / v * (nope + v) + nope + r % v) * rank; };
}

/// (E, a, b) as (E, c, a), where column i of the output's rows is column `begin` + i * `stride` of the source.
void transpose(OutputTensor& out, int64_t halves, int64_t begin_half, bool interleaved) {
  require_rank(out, 3);
  const Shape& s = out.parts[0]->shape;
  const int64_t a = s[1], b = s[2], rows = b / halves;
  check(b % halves == 0, "the last dimension of the tensor is gate and up, of one size", out.parts[0]->name, s);
  out.shape = {s[0], rows, a};
  out.step = b;
  const int64_t stride = interleaved ? halves : 1, begin = interleaved ? begin_half : begin_half * rows;
  out.first = [=](int64_t r) { return r / rows * a * b + begin + r % rows * stride; };
}

void every_other_column(OutputTensor& out, int64_t begin) {
  require_rank(out, 2);
  const Shape& s = out.parts[0]->shape;
  check(s[1] % 2 == 0, "the last dimension of the tensor is gate and up, of one size", out.parts[0]->name, s);
  out.shape = {s[0], s[1] / 2};
  out.step = 2;
  out.first = [=, length = s[1]](int64_t r) { return r * length + begin; };
}

void half_of_rows(OutputTensor& out, int64_t half) {
  require_rank(out, 3);
  const Shape& s = out.parts[0]->shape;
  const int64_t rows = s[1] / 2, length = s[2];
  check(s[1] % 2 == 0, "the rows of the tensor are gate and up, of one size", out.parts[0]->name, s);
  out.shape = {s[0], rows, length};
  out.first = [=](int64_t r) { return (r / rows * 2 * rows + half * rows + r % rows) * length; };
}

/// Blocks (E, rows, columns / 32, 16) of mxfp4 and their scales (E, rows, columns / 32); of `every` rows that from `begin` on.
void mxfp4(OutputTensor& out, const TensorSource& source, int64_t every, int64_t begin) {
  require_rank(out, 4);
  const StoredTensor& blocks = *out.parts[0];
  const Shape& s = blocks.shape;
  const std::string name = blocks.name.substr(0, blocks.name.size() - std::string_view("_blocks").size()) + "_scales";
  out.scales = source.find(name);
  check(out.scales != nullptr, "the checkpoint lacks the tensor", name);
  check(blocks.dtype == DType::U8 && out.scales->dtype == DType::U8 && s[3] == 16 && out.scales->shape == Shape{s[0], s[1], s[2]},
        "mxfp4 blocks (E, rows, n, 16) and scales (E, rows, n) are U8", blocks.name, blocks.dtype, s, out.scales->dtype, out.scales->shape);
  check(out.scales->data != nullptr || out.scales->bytes == 0, "the data of the tensor is missing", name);
  check(s[1] % every == 0, "the rows of the tensor are gate and up, of one size", blocks.name, s);
  const int64_t length = s[2] * 32;
  out.shape = {s[0], s[1] / every, length};
  out.first = [=](int64_t r) { return (r * every + begin) * length; };
}

void stack(OutputTensor& out) {
  out.shape = {static_cast<int64_t>(out.parts.size())};
  require_rank(out, 2);
  for (const StoredTensor* part : out.parts)
    check(part->shape == out.parts[0]->shape && part->dtype == out.parts[0]->dtype, "experts differ in shape or type", part->name,
          part->shape, part->dtype, "but", out.parts[0]->name, out.parts[0]->shape, out.parts[0]->dtype);
  for (int i = 0; i < 2; ++i) out.shape.push_back(out.parts[0]->shape[i]);
}

Shape reshaped(const StoredTensor& tensor, GgufForm form) {
  const Shape& s = tensor.shape;
  if (form == GgufForm::WithoutMiddle && s.rank() == 3 && s[1] == 1) return {s[0], s[2]};
  if (form == GgufForm::WithoutFirst && s.rank() == 2 && s[0] == 1) return {s[1]};
  check(form == GgufForm::Same, "the tensor has an unexpected shape for its place in a GGUF file", tensor.name, s);
  return s;
}

}  // namespace

void arrange(const GgufTensor& row, const ConfigView& config, const TensorSource& source, OutputTensor& out) {
  out.change = row.values;
  out.shape = reshaped(*out.parts[0], row.form);
  switch (row.order) {
    case GgufOrder::Same: return;
    case GgufOrder::QueryPairs: return pair_heads(out, config.integer("num_attention_heads"), config.head_dim());
    case GgufOrder::KeyPairs: return pair_heads(out, config.kv_heads(), config.head_dim());
    case GgufOrder::TiledValues: return tile_values(out, DeltaNet(config));
    case GgufOrder::TiledQkv: return tile_qkv(out, DeltaNet(config));
    case GgufOrder::TiledColumns: return tile_columns(out, DeltaNet(config));
    case GgufOrder::Experts: return stack(out);
    case GgufOrder::Transposed: return transpose(out, 1, 0, false);
    case GgufOrder::EvenTransposed: return transpose(out, 2, 0, true);
    case GgufOrder::OddTransposed: return transpose(out, 2, 1, true);
    case GgufOrder::FirstTransposed: return transpose(out, 2, 0, false);
    case GgufOrder::SecondTransposed: return transpose(out, 2, 1, false);
    case GgufOrder::EvenColumns: return every_other_column(out, 0);
    case GgufOrder::OddColumns: return every_other_column(out, 1);
    case GgufOrder::FirstRows: return half_of_rows(out, 0);
    case GgufOrder::SecondRows: return half_of_rows(out, 1);
    case GgufOrder::Blocks: return mxfp4(out, source, 1, 0);
    case GgufOrder::EvenBlocks: return mxfp4(out, source, 2, 0);
    case GgufOrder::OddBlocks: return mxfp4(out, source, 2, 1);
    case GgufOrder::LatentKeys: return split_latent(out, config, true);
    case GgufOrder::LatentValues: return split_latent(out, config, false);
    case GgufOrder::GroupedQkv: return ungroup(out, DeltaNet(config), false);
    case GgufOrder::GroupedGate: return ungroup(out, DeltaNet(config), true);
  }
  fail("unknown order of a GGUF tensor", row.gguf);
}

}  // namespace infernum
