// A request body as JSON: one object, valid UTF-8, of bounded depth and size, every key once.
#pragma once
#include <cstddef>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace simdjson::dom {
class element;
}

namespace infernum::server::openai {

using Json = simdjson::dom::element;

struct JsonLimits {
  size_t depth = 64;
  size_t nodes = 200'000;
};

/// Keeps the memory of the last parse for the next one. For one thread at a time.
class JsonParser {
 public:
  explicit JsonParser(JsonLimits limits = {});
  ~JsonParser();
  /// The root object, valid until the next call. Throws ApiError.
  Json parse(std::string_view body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A copy that can be changed and outlives the parser.
nlohmann::ordered_json to_document(const Json& value);

}  // namespace infernum::server::openai
