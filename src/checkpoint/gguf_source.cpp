#include "checkpoint/gguf_source.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "checkpoint/text_file.h"
#include "core/check.h"
#include "core/log.h"

namespace infernum {

GgufSource::GgufSource(const Gguf& file, std::string_view arch) : gguf(file), metadata(*file.metadata), prefix(std::string(arch) + ".") {
  for (const StoredTensor& t : file.tensors) names_.insert(t.name);
  // Read by gguf_rope_parameters(), or without effect.
  for (const char* name :
       {"rope.freq_base", "rope.scale_linear", "rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length",
        "rope.scaling.attn_factor", "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow", "rope.scaling.yarn_log_multiplier",
        "rope.scaling.finetuned", "rope.dimension_sections", "tensor_data_layout", "vocab_size"})
    key(name);
  const int64_t nextn = find("nextn_predict_layers", 0, most_layers).value_or(0);
  blocks_ = require("block_count", nextn + 1, most_layers);
  layers = blocks_ - nextn;
}

const StoredTensor* GgufSource::tensor(std::string_view name) const {
  if (names_.count(name) == 0) return nullptr;  // at once: some ask for every layer, and a file may hold a million tensors
  for (const StoredTensor& t : gguf.tensors)
    if (t.name == name) return &t;
  return nullptr;
}

bool GgufSource::any_layer_has(std::string_view part) const {
  for (int64_t i = 0; i < layers; ++i)
    if (has_tensor("blk." + std::to_string(i) + "." + std::string(part))) return true;
  return false;
}

std::optional<std::vector<int64_t>> GgufSource::find_per_layer(const char* name, int64_t low) const {
  auto values = metadata.find_per_layer(key(name), blocks_, low, largest);
  if (values) values->resize(static_cast<size_t>(layers));
  return values;
}

std::optional<int64_t> GgufSource::same_in_all_layers(const char* name) const {
  const auto values = find_per_layer(name);
  if (!values) return std::nullopt;
  const bool same = std::all_of(values->begin(), values->end(), [&](int64_t v) { return v == values->front(); });
  check(same, "gguf: value differs between layers, which this architecture does not support", printable(key(name)), "in", metadata.path());
  return values->front();
}

int64_t GgufSource::require_same_in_all_layers(const char* name) const {
  const auto value = same_in_all_layers(name);
  return value ? *value : require(name);
}

void GgufSource::copy_keys(std::span<const GgufKey> keys, nlohmann::json& config) const {
  for (const GgufKey& row : keys) {
    if (row.kind == GgufKind::Integer) {
      if (const auto value = find(row.gguf, 0)) config[row.hugging_face] = *value;
    } else if (row.kind == GgufKind::Number) {
      if (const auto value = find_number(row.gguf)) config[row.hugging_face] = shortest(*value);
    } else if (const auto value = find_flag(row.gguf)) {
      config[row.hugging_face] = *value;
    }
  }
}

void GgufSource::warn_of_unread_keys() const {
  std::string unread;
  for (const auto& [name, value] : metadata.values())
    if (name.starts_with(prefix) && !read_.count(name)) unread.append(unread.empty() ? "" : ", ").append(printable(name));
  if (!unread.empty()) log_warning(metadata.path() + ": metadata keys are not understood and ignored: " + unread);
}

double shortest(double value) {
  const auto narrow = static_cast<float>(value);
  if (static_cast<double>(narrow) != value) return value;
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, narrow).ptr;
  double wide = 0;
  std::from_chars(text, end, wide);
  return wide;
}

}  // namespace infernum
