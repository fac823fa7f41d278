// Typed access to JSON whose errors name the place. For the loaders of this folder only: it brings simdjson along.
#pragma once
#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/check.h"

namespace infernum::text {

/// A JSON value and how to call it in an error. Holds no memory of its own: the parser's document must live on.
class Json {
 public:
  Json(simdjson::dom::element value, std::string path) : value_(value), path_(std::move(path)) {}

  bool is_null() const { return value_.is_null(); }
  bool is_string() const { return value_.is_string(); }
  bool is_object() const { return value_.is_object(); }
  bool is_array() const { return value_.is_array(); }
  bool is_bool() const { return value_.is_bool(); }
  const std::string& path() const { return path_; }

  std::string_view string() const { return get<std::string_view>("a string"); }
  bool boolean() const { return get<bool>("true or false"); }
  int64_t integer() const { return get<int64_t>("an integer"); }
  double number() const { return get<double>("a number"); }
  simdjson::dom::array array() const { return get<simdjson::dom::array>("an array"); }
  simdjson::dom::object object() const { return get<simdjson::dom::object>("an object"); }

  /// The member; nothing when missing or null.
  std::optional<Json> find(std::string_view key) const {
    const auto found = object().at_key(key);
    if (found.error() || found.value_unsafe().is_null()) return std::nullopt;
    return Json(found.value_unsafe(), path_ + "." + std::string(key));
  }
  Json at(std::string_view key) const {
    auto found = find(key);
    if (!found) fail("tokenizer file: missing", path_ + "." + std::string(key));
    return *found;
  }
  std::string_view string_or(std::string_view key, std::string_view otherwise) const {
    const auto found = find(key);
    return found ? found->string() : otherwise;
  }
  bool boolean_or(std::string_view key, bool otherwise) const {
    const auto found = find(key);
    return found ? found->boolean() : otherwise;
  }
  size_t count(std::string_view key) const {
    const int64_t value = at(key).integer();
    check(value >= 0 && value <= UINT32_MAX, "tokenizer file: not a count", path_, key, value);
    return static_cast<size_t>(value);
  }
  Json item(simdjson::dom::element value, size_t index) const { return {value, path_ + "[" + std::to_string(index) + "]"}; }

 private:
  template <class T>
  T get(const char* what) const {
    T result;
    if (value_.get(result)) fail("tokenizer file: expected", what, "at", path_);
    return result;
  }

  simdjson::dom::element value_;
  std::string path_;
};

}  // namespace infernum::text
