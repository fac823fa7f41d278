#include "checkpoint/gguf_tensors.h"

#include <cmath>
#include <set>

#include "checkpoint/gguf_names.h"
#include "checkpoint/text_file.h"
#include "core/check.h"
#include "quant/quant.h"

namespace infernum {
namespace {

constexpr int64_t most_changed_elements = 1 << 24;  // of a tensor that is copied

Shape reshaped(const StoredTensor& tensor, GgufForm form) {
  const Shape& s = tensor.shape;
  if (form == GgufForm::WithoutMiddle && s.rank() == 2) return {s[0], 1, s[1]};
  if (form == GgufForm::WithoutFirst && s.rank() == 1) return {1, s[0]};
  return s;
}

/// Two-dimensional stacks of older files, heads behind each other, as (heads, rows, columns).
void split_heads(StoredTensor& tensor, int64_t heads) {
  if (tensor.shape.rank() != 2) return;
  check(heads > 0 && tensor.shape[0] % heads == 0, "gguf: the rows of the tensor are those of its heads", printable(tensor.name),
        tensor.shape, "heads", heads);
  tensor.shape = {heads, tensor.shape[0] / heads, tensor.shape[1]};
}

/// Undoes what was done to the values for the file.
void restore_values(StoredTensor& tensor, GgufValues values) {
  if (values == GgufValues::Same) return;
  const int64_t n = tensor.shape.elements();
  check(n <= most_changed_elements && (is_float(tensor.dtype) || is_gguf_block(tensor.dtype)),
        "gguf: this tensor is a small one of floating-point numbers", printable(tensor.name), tensor.dtype, tensor.shape);
  if (tensor.data) {
    auto copy = std::make_shared<std::vector<float>>(static_cast<size_t>(n));
    dequantize(tensor.dtype, tensor.data, copy->data(), n);
    for (float& value : *copy) {
      if (values == GgufValues::PlusOne) {
        value -= 1.0f;
        continue;
      }
      check(value < 0, "gguf: the decay -exp(A_log) is negative", printable(tensor.name), value);
      value = std::log(-value);
    }
    tensor.data = reinterpret_cast<const std::byte*>(copy->data());
    tensor.owner = std::move(copy);
    tensor.file = nullptr;
  }
  tensor.dtype = DType::F32;
  tensor.bytes = bytes_of(DType::F32, n);
}

}  // namespace

void add_gguf_tensors(std::vector<StoredTensor> tensors, const GgufConfig& config, TensorSource& source) {
  std::set<int64_t> whole_latent;  // layers that hold attn_kv_b besides its two parts (files of ik_llama.cpp)
  for (const StoredTensor& tensor : tensors)
    if (tensor.name.ends_with(".attn_kv_b.weight")) whole_latent.insert(gguf_layer(tensor.name));
  for (StoredTensor& tensor : tensors) {
    if (is_config_tensor(tensor.name)) continue;
    const int64_t layer = gguf_layer(tensor.name);
    if (layer >= config.layers) {  // of multi-token prediction
      tensor.name = "model.layers." + tensor.name.substr(std::string_view("blk.").size());
    } else if (auto known = hugging_face_name(tensor.name, *config.family)) {
      const bool latent = known->name.ends_with(".k_b_proj.weight") || known->name.ends_with(".v_b_proj.weight");
      if (latent && whole_latent.count(layer)) continue;
      if (latent) split_heads(tensor, config.heads);
      tensor.shape = reshaped(tensor, known->row->form);
      restore_values(tensor, known->row->values);
      tensor.name = std::move(known->name);
    }
    source.add(std::move(tensor));
  }
}

}  // namespace infernum
