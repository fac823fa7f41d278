#include "checkpoint/config_view.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "checkpoint/text_file.h"
#include "core/check.h"

namespace infernum {

using Json = nlohmann::json;

Json parse_json_object(const std::string& text, const char* file) {
  constexpr int deepest = 64;
  if (text.empty()) return Json::object();
  const auto shallow = [&](int depth, Json::parse_event_t, Json&) {
    check(depth <= deepest, "JSON nested too deeply", file, "levels", depth);
    return true;
  };
  Json value = Json::parse(text, shallow, false);
  check(value.is_object(), "not a JSON object", file);
  return value;
}

Json text_config(Json config) {
  const auto inner = config.find("text_config");
  if (inner == config.end() || !inner->is_object()) return config;
  Json text = std::move(*inner);
  config.erase("text_config");
  for (const char* key : {"tie_word_embeddings", "quantization_config", "eos_token_id", "bos_token_id", "pad_token_id"})
    if (config.contains(key) && !text.contains(key)) text[key] = config[key];
  if (!text.contains("model_type") && config.contains("model_type")) text["model_type"] = config["model_type"];
  return text;
}

const Json* ConfigView::find(const char* key) const {
  const auto at = config_.find(key);
  return at == config_.end() || at->is_null() ? nullptr : &*at;
}

std::optional<std::string> ConfigView::find_text(const char* key) const {
  const Json* value = find(key);
  if (!value) return std::nullopt;
  check(value->is_string(), "config.json: the key must be there and a string", key);
  return value->get<std::string>();
}

std::string ConfigView::text(const char* key) const {
  const auto value = find_text(key);
  check(value.has_value(), "config.json: the key must be there and a string", key);
  return *value;
}

std::optional<int64_t> ConfigView::find_integer(std::initializer_list<const char*> keys, int64_t low, int64_t high) const {
  for (const char* key : keys) {
    const Json* value = find(key);
    if (!value) continue;
    check(value->is_number_integer(), "config.json: the value must be an integer", key);
    const auto number = value->get<int64_t>();
    check(number >= low && number <= high, "config.json: the value is out of range", key, number, "allowed", low, "to", high);
    return number;
  }
  return std::nullopt;
}

int64_t ConfigView::integer(const char* key, int64_t low, int64_t high) const {
  const auto value = find_integer({key}, low, high);
  check(value.has_value(), "config.json: the key is missing", key);
  return *value;
}

std::optional<double> ConfigView::find_number(const char* key) const {
  const Json* value = find(key);
  if (!value) return std::nullopt;
  check(value->is_number(), "config.json: the value must be a number", key);
  const auto number = value->get<double>();
  check(std::isfinite(number) && std::abs(number) < 1e30, "config.json: the value is out of range", key, number);
  return number;
}

double ConfigView::number(const char* key) const {
  const auto value = find_number(key);
  check(value.has_value(), "config.json: the key is missing", key);
  return *value;
}

std::optional<bool> ConfigView::find_flag(const char* key) const {
  const Json* value = find(key);
  if (!value) return std::nullopt;
  check(value->is_boolean(), "config.json: the value must be true or false", key);
  return value->get<bool>();
}

std::vector<std::string> ConfigView::layer_types() const {
  const Json* list = find("layer_types");
  std::vector<std::string> types;
  if (!list) return types;
  check(list->is_array() && static_cast<int64_t>(list->size()) >= layers(), "config.json: layer_types has one entry for each layer",
        list->size(), "layers", layers());
  for (const Json& type : *list) {
    check(type.is_string(), "config.json: an entry of layer_types is a string");
    if (static_cast<int64_t>(types.size()) < layers()) types.push_back(type.get<std::string>());
  }
  return types;
}

int64_t ConfigView::experts() const { return find_integer({"n_routed_experts", "num_local_experts", "num_experts"}, 0, 65536).value_or(0); }

int64_t ConfigView::kv_heads() const {
  const auto given = find_integer({"num_key_value_heads"});
  return given ? *given : integer("num_attention_heads");
}

int64_t ConfigView::head_dim() const {
  const int64_t hidden = integer("hidden_size"), heads = integer("num_attention_heads");
  if (const auto given = find_integer({"head_dim"})) return *given;
  check(hidden % heads == 0, "config.json: without head_dim hidden_size is a multiple of num_attention_heads", hidden, heads);
  return hidden / heads;
}

int64_t ConfigView::of_layer(const char* key, const char* full_key, bool full, int64_t layer) const {
  if (const Json* own = find("per_layer_config"); own && own->is_object()) {
    const auto entry = own->find(std::to_string(layer));
    if (entry != own->end() && entry->is_object())
      if (const auto value = ConfigView(*entry).find_integer({key})) return *value;
  }
  const auto given = full ? find_integer({full_key}) : std::nullopt;
  return given ? *given : integer(key);
}

std::vector<std::string> ConfigView::one_full_in_six() const {
  constexpr int64_t period = 6;
  auto types = layer_types();
  for (int64_t i = static_cast<int64_t>(types.size()); i < layers(); ++i)
    types.emplace_back((i + 1) % period == 0 || i + 1 == layers() ? "full_attention" : "sliding_attention");
  return types;
}

int64_t ConfigView::full_head_dim() const {
  const auto types = one_full_in_six();
  for (size_t i = 0; i < types.size(); ++i)
    if (types[i] == "full_attention") return of_layer("head_dim", "global_head_dim", true, static_cast<int64_t>(i));
  return head_dim();
}

Json ConfigView::rope(std::string_view layer_type, double default_theta) const {
  Json rope = Json::object();
  for (const char* key : {"rope_scaling", "rope_parameters"})
    if (const Json* given = find(key)) {
      check(given->is_object(), "config.json: the value must be an object", key);
      const auto own = given->find(layer_type);
      const Json& values = own != given->end() && own->is_object() ? *own : *given;
      if (values.contains("full_attention") || values.contains("sliding_attention")) continue;  // none for this type of layer
      rope.update(values);
    }
  if (!rope.contains("rope_theta")) rope["rope_theta"] = find("rope_theta") ? *find("rope_theta") : Json(default_theta);
  if (!rope.contains("rope_type")) rope["rope_type"] = rope.contains("type") ? rope["type"] : Json("default");
  if (rope["rope_type"] == "su") rope["rope_type"] = "longrope";
  return rope;
}

int64_t ConfigView::rotary_dims(double default_factor) const {
  const Json parameters = rope();
  const auto share = ConfigView(parameters).find_number("partial_rotary_factor");
  const double factor = share ? *share : find_number("partial_rotary_factor").value_or(default_factor);
  check(factor > 0 && factor <= 1, "config.json: partial_rotary_factor is above 0 and at most 1", factor);
  return static_cast<int64_t>(static_cast<double>(head_dim()) * factor);
}

}  // namespace infernum
