#include "models/config_reader.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/check.h"

namespace infernum {

using Json = nlohmann::json;

constexpr int max_depth = 64;

struct ConfigReader::Data {
  Json values;
  Json outer;  // of a multimodal config: consulted for what the text part lacks
  mutable std::set<std::string, std::less<>> read;

  const Json* find(std::string_view key) const {
    read.emplace(key);
    for (const Json* object : {&values, &outer})
      if (object->is_object())
        if (const auto it = object->find(key); it != object->end() && !it->is_null()) return &*it;
    return nullptr;
  }
};

namespace {

[[noreturn]] void wrong_type(std::string_view key, const Json& value, const char* wanted) {
  fail("config.json: a key has the wrong type", key, "=", value.dump().substr(0, 80), "wanted", wanted);
}

}  // namespace

ConfigReader::ConfigReader(std::string_view json) : data_(std::make_unique<Data>()) {
  try {
    data_->values = Json::parse(json, [](int depth, Json::parse_event_t, const Json&) {
      check(depth <= max_depth, "config.json: nested too deeply", depth);  // copies and dumps of nested values recurse
      return true;
    });
  } catch (const Json::exception& e) {
    fail("config.json: not valid JSON", e.what());
  }
  check(data_->values.is_object(), "config.json: the top level must be an object");
  if (const auto text = data_->values.find("text_config"); text != data_->values.end() && text->is_object()) {
    Json inner = *text;
    data_->outer = std::move(data_->values);
    data_->outer.erase("text_config");
    data_->values = std::move(inner);
  }
}

ConfigReader::ConfigReader(std::unique_ptr<Data> data) : data_(std::move(data)) {}
ConfigReader::~ConfigReader() = default;
ConfigReader::ConfigReader(ConfigReader&&) noexcept = default;

bool ConfigReader::has_text_config() const { return data_->outer.is_object(); }

bool ConfigReader::has(std::string_view key) const { return data_->find(key) != nullptr; }

bool ConfigReader::is_null(std::string_view key) const {
  const auto it = data_->values.find(key);
  return it != data_->values.end() && it->is_null();
}

std::optional<int64_t> ConfigReader::integer(std::string_view key) const {
  const Json* v = data_->find(key);
  if (!v) return {};
  if (v->is_number_unsigned() && v->get<uint64_t>() > INT64_MAX) wrong_type(key, *v, "a 64-bit integer");
  if (v->is_number_integer()) return v->get<int64_t>();
  if (v->is_number_float() && std::abs(v->get<double>()) <= INT32_MAX && std::trunc(v->get<double>()) == v->get<double>())
    return static_cast<int64_t>(v->get<double>());
  wrong_type(key, *v, "an integer");
}

std::optional<double> ConfigReader::number(std::string_view key) const {
  const Json* v = data_->find(key);
  if (!v) return {};
  if (!v->is_number()) wrong_type(key, *v, "a number");
  return v->get<double>();
}

std::optional<bool> ConfigReader::boolean(std::string_view key) const {
  const Json* v = data_->find(key);
  if (!v) return {};
  if (!v->is_boolean()) wrong_type(key, *v, "true or false");
  return v->get<bool>();
}

std::optional<bool> ConfigReader::truth(std::string_view key) const {
  const Json* v = data_->find(key);
  if (v && v->is_number()) return v->get<double>() != 0;
  return boolean(key);
}

std::optional<std::string> ConfigReader::string(std::string_view key) const {
  const Json* v = data_->find(key);
  if (!v) return {};
  if (!v->is_string()) wrong_type(key, *v, "a string");
  return v->get<std::string>();
}

std::vector<std::string> ConfigReader::strings(std::string_view key) const {
  const Json* v = data_->find(key);
  std::vector<std::string> list;
  if (!v) return list;
  if (v->is_string()) return {v->get<std::string>()};
  if (!v->is_array()) wrong_type(key, *v, "a list of strings");
  for (const Json& item : *v) {
    if (!item.is_string()) wrong_type(key, *v, "a list of strings");
    list.push_back(item.get<std::string>());
  }
  return list;
}

std::vector<double> ConfigReader::numbers(std::string_view key) const {
  const Json* v = data_->find(key);
  std::vector<double> list;
  if (!v) return list;
  if (!v->is_array()) wrong_type(key, *v, "a list of numbers");
  for (const Json& item : *v) {
    if (!item.is_number()) wrong_type(key, *v, "a list of numbers");
    list.push_back(item.get<double>());
  }
  return list;
}

std::optional<ConfigReader> ConfigReader::object(std::string_view key) const {
  const Json* v = data_->find(key);
  if (!v) return {};
  if (!v->is_object()) wrong_type(key, *v, "an object");
  auto data = std::make_unique<Data>();
  data->values = *v;
  return ConfigReader(std::move(data));
}

int64_t ConfigReader::size(std::string_view key) const {
  check(has(key), "config.json: a required key is missing", key);
  return size(key, 0);
}

int64_t ConfigReader::size(std::string_view key, int64_t fallback) const {
  const int64_t value = integer(key).value_or(fallback);
  check(value >= 1 && value <= INT32_MAX, "config.json: this key must lie between 1 and 2147483647", key, "=", value);
  return value;
}

std::vector<std::string> ConfigReader::unread() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : data_->values.items())
    if (!data_->read.count(key) && !value.is_null()) keys.push_back(key);
  constexpr const char* shared = "quantization_config";
  if (has_text_config() && !data_->values.contains(shared) && !data_->read.count(shared) && !data_->outer.value(shared, Json()).is_null())
    keys.emplace_back(shared);
  return keys;
}

}  // namespace infernum
