// Reader of `messages`: checks roles, contents and tool calls, and says them in the one way that chat templates know.
#include <simdjson.h>

#include <nlohmann/json.hpp>

#include "server/openai/api_error.h"
#include "server/openai/field_readers.h"

namespace infernum::server::openai {
namespace {

namespace dom = simdjson::dom;
using Tree = nlohmann::ordered_json;

std::string join(const std::string& path, std::string_view name) { return path + "." + std::string(name); }

/// Text, or refusal text, which templates do not tell apart.
Tree read_part(const Json& value, const std::string& path) {
  if (!value.is_object()) refuse_value(path, "must be an object with a type");
  const dom::object part(value);
  const auto type = part.at_key("type");
  if (type.error()) refuse_value(join(path, "type"), "is missing");
  const std::string kind = read_string(type.value_unsafe(), join(path, "type"));
  if (kind != "text" && kind != "refusal")
    throw ApiError{400, join(path, "type") + ": this model takes text parts only, not " + kind.substr(0, 40), "unsupported_content",
                   join(path, "type")};
  const auto text = part.at_key(kind);
  if (text.error()) refuse_value(join(path, kind), "is missing");
  Tree out = Tree::object();
  out["type"] = "text";
  out["text"] = read_string(text.value_unsafe(), join(path, kind));
  return out;
}

Tree read_content(const Json& value, const std::string& path, const DecodeLimits& limits) {
  if (value.is_null()) return nullptr;
  if (value.is_string()) return read_string(value, path);
  if (!value.is_array()) refuse_value(path, "must be a string, null or a list of parts");
  const dom::array list(value);
  if (list.size() > limits.content_parts) refuse_value(path, "has more than " + std::to_string(limits.content_parts) + " parts");
  Tree parts = Tree::array();
  for (const dom::element item : list) parts.push_back(read_part(item, element_path(path, parts.size())));
  return parts;
}

void check_tool_calls(const Json& value, const std::string& path, const DecodeLimits& limits) {
  if (!value.is_array()) refuse_value(path, "must be a list");
  const dom::array list(value);
  if (list.size() > limits.tool_calls) refuse_value(path, "has more than " + std::to_string(limits.tool_calls) + " calls");
  size_t i = 0;
  for (const dom::element item : list) {
    const std::string at = element_path(path, i++);
    if (!item.is_object()) refuse_value(at, "must be an object");
    const auto function = dom::object(item).at_key("function");
    if (function.error() || !function.is_object()) refuse_value(join(at, "function"), "must be an object with name and arguments");
    const auto name = function.at_key("name");
    if (name.error() || !name.is_string()) refuse_value(join(at, "function.name"), "must be a string");
    const auto arguments = function.at_key("arguments");
    if (!arguments.error() && !arguments.is_string() && !arguments.is_object())
      refuse_value(join(at, "function.arguments"), "must be a string of JSON");
  }
}

std::string read_role(const dom::object& message, const std::string& path) {
  const auto value = message.at_key("role");
  if (value.error()) refuse_value(join(path, "role"), "is missing");
  const std::string role = read_string(value.value_unsafe(), join(path, "role"));
  for (const std::string_view known : {"system", "developer", "user", "assistant", "tool", "function"})
    if (role == known) return role == "function" ? "tool" : role;
  refuse_value(join(path, "role"), "must be developer, system, user, assistant, tool or function, but is " + role.substr(0, 40));
}

Tree read_message(const Json& value, const std::string& path, const DecodeLimits& limits) {
  if (!value.is_object()) refuse_value(path, "must be an object");
  const dom::object message(value);
  constexpr size_t most_keys = 64;  // finding a key takes time by their number
  if (message.size() > most_keys) refuse_value(path, "has more than " + std::to_string(most_keys) + " keys");
  Tree out = Tree::object();
  out["role"] = read_role(message, path);
  bool has_content = false, has_calls = false;
  for (const auto [key, item] : message) {
    if (key == "role") continue;
    if (key == "content") {
      out["content"] = read_content(item, join(path, key), limits);
      has_content = !item.is_null();
    } else if (item.is_null()) {
      continue;
    } else if (key == "name" || key == "tool_call_id" || key == "refusal" || key == "reasoning_content" || key == "reasoning") {
      out[std::string(key)] = read_string(item, join(path, key));
    } else if (key == "tool_calls") {
      check_tool_calls(item, join(path, key), limits);
      has_calls = dom::array(item).size() > 0;
      if (has_calls) out["tool_calls"] = to_document(item);
    } else {
      out[std::string(key)] = to_document(item);  // templates of some families read more
    }
  }
  if (!has_content && out.contains("refusal")) out["content"] = out["refusal"];
  if (!out.contains("content")) out["content"] = nullptr;
  if (out["content"].is_null() && !has_calls && out["role"] != "assistant") refuse_value(join(path, "content"), "is missing");
  // Templates read the one or the other name.
  if (out.contains("reasoning") && !out.contains("reasoning_content")) out["reasoning_content"] = out["reasoning"];
  return out;
}

}  // namespace

void read_messages(const Json& value, const Field& field, const DecodeLimits& limits, Asked& asked) {
  if (!value.is_array()) refuse_value(field.name, "must be a list of messages");
  const dom::array list(value);
  if (list.size() == 0) refuse_value(field.name, "must not be empty");
  if (list.size() > limits.messages)
    refuse_value(field.name, "has " + std::to_string(list.size()) + " messages; " + std::to_string(limits.messages) + " are allowed");
  Tree messages = Tree::array();
  for (const dom::element item : list) messages.push_back(read_message(item, element_path(field.name, messages.size()), limits));
  asked.messages = std::make_shared<const Tree>(std::move(messages));
}

}  // namespace infernum::server::openai
