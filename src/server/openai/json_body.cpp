#include "server/openai/json_body.h"

#include <simdjson.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "server/openai/api_error.h"

namespace infernum::server::openai {
namespace {

namespace dom = simdjson::dom;

[[noreturn]] void refuse(std::string message, std::string param = {}) {
  throw ApiError{400, std::move(message), "invalid_json", std::move(param)};
}

/// Counts values and finds keys that repeat: parsers disagree about which of them counts, and a proxy before us may have read the other.
class Check {
 public:
  explicit Check(const JsonLimits& limits) : limits_(limits), left_(limits.nodes) {}

  void value(const dom::element& at, size_t depth = 1) {
    if (left_-- == 0) refuse("the request body has more than " + std::to_string(limits_.nodes) + " JSON values");
    const bool list = at.type() == dom::element_type::ARRAY, object_here = at.type() == dom::element_type::OBJECT;
    if ((list || object_here) && depth > limits_.depth)
      refuse("the request body nests deeper than " + std::to_string(limits_.depth) + " levels");
    if (list)
      for (const dom::element item : dom::array(at)) value(item, depth + 1);
    if (object_here) object(dom::object(at), depth);
  }

 private:
  void object(const dom::object& at, size_t depth) {
    const size_t first = keys_.size();
    for (const auto [key, item] : at) keys_.push_back(key);
    std::sort(keys_.begin() + static_cast<std::ptrdiff_t>(first), keys_.end());
    const auto twice = std::adjacent_find(keys_.begin() + static_cast<std::ptrdiff_t>(first), keys_.end());
    if (twice != keys_.end())
      refuse("a key occurs twice in one object of the request body: " + std::string(twice->substr(0, 64)),
             std::string(twice->substr(0, 64)));
    keys_.resize(first);
    for (const auto [key, item] : at) value(item, depth + 1);
  }

  const JsonLimits& limits_;
  size_t left_;
  std::vector<std::string_view> keys_;
};

std::string reason(simdjson::error_code error) {
  switch (error) {
    case simdjson::DEPTH_ERROR: return "the request body nests too deeply";
    case simdjson::UTF8_ERROR: return "the request body is not valid UTF-8";
    case simdjson::EMPTY: return "the request body is empty; a JSON object is expected";
    case simdjson::CAPACITY: return "the request body is too long";
    case simdjson::NUMBER_ERROR: return "the request body holds a number that JSON or 64 bits cannot express";
    case simdjson::STRING_ERROR: return "the request body holds a string with an invalid escape";
    default: return "the request body is not valid JSON";
  }
}

}  // namespace

struct JsonParser::State {
  JsonLimits limits;
  std::unique_ptr<dom::parser> parser;
  size_t capacity = 0;
};

JsonParser::JsonParser(JsonLimits limits) : state_(std::make_unique<State>()) { state_->limits = limits; }
JsonParser::~JsonParser() = default;

Json JsonParser::parse(std::string_view body) {
  constexpr size_t kept = size_t{1} << 20;  // what a giant body needed is given back before the next one
  State& s = *state_;
  if (!s.parser || s.capacity < body.size() || s.capacity > std::max(kept, body.size())) {
    s.parser = std::make_unique<dom::parser>();
    s.capacity = std::max<size_t>(body.size(), 16384);
    // Bounds the parser's own stack; the exact limit is checked below, since simdjson does not count empty lists.
    if (const auto error = s.parser->allocate(s.capacity, s.limits.depth + 1)) refuse(reason(error));
  }
  dom::element root;
  if (const auto error = s.parser->parse(body.data(), body.size()).get(root)) refuse(reason(error));
  if (!root.is_object()) refuse("the request body must be a JSON object");
  Check(s.limits).value(root);
  return root;
}

nlohmann::ordered_json to_document(const Json& value) {
  using Document = nlohmann::ordered_json;
  switch (value.type()) {
    case dom::element_type::ARRAY: {
      Document list = Document::array();
      for (const dom::element item : dom::array(value)) list.push_back(to_document(item));
      return list;
    }
    case dom::element_type::OBJECT: {
      // Keys are known to differ: appended without the search of ordered_map::operator[], which would be quadratic.
      Document object = Document::object();
      auto& members = object.get_ref<Document::object_t&>();
      for (const auto [key, item] : dom::object(value))
        members.Document::object_t::Container::emplace_back(std::string(key), to_document(item));
      return object;
    }
    case dom::element_type::INT64: return int64_t(value);
    case dom::element_type::UINT64: return uint64_t(value);
    case dom::element_type::DOUBLE: return double(value);
    case dom::element_type::STRING: return std::string(std::string_view(value));
    case dom::element_type::BOOL: return bool(value);
    default: return nullptr;
  }
}

}  // namespace infernum::server::openai
