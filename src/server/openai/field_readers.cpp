#include "server/openai/field_readers.h"

#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "server/json_writer.h"
#include "server/openai/api_error.h"

namespace infernum::server::openai {
namespace {

namespace dom = simdjson::dom;

/// What was sent in place of something else. No text of it: that may be a prompt.
std::string kind_of(const Json& value) {
  std::string digits;
  switch (value.type()) {
    case dom::element_type::BOOL: return bool(value) ? "true" : "false";
    case dom::element_type::INT64: return std::to_string(int64_t(value));
    case dom::element_type::UINT64: return std::to_string(uint64_t(value));
    case dom::element_type::DOUBLE: append_number(digits, double(value)); return digits;
    case dom::element_type::STRING: return "a string";
    case dom::element_type::ARRAY: return "a list";
    case dom::element_type::OBJECT: return "an object";
    default: return "null";
  }
}

[[noreturn]] void refuse_kind(const Json& value, std::string_view param, const std::string& wanted) {
  refuse_value(param, "must be " + wanted + ", but is " + kind_of(value));
}

dom::array as_list(const Json& value, std::string_view param) {
  if (!value.is_array()) refuse_kind(value, param, "a list");
  return dom::array(value);
}

dom::object as_object(const Json& value, std::string_view param) {
  if (!value.is_object()) refuse_kind(value, param, "an object");
  return dom::object(value);
}

[[noreturn]] void refuse_count(std::string_view param, size_t count, size_t most, const std::string& what) {
  refuse_value(param, "has " + std::to_string(count) + " " + what + "; " + std::to_string(most) + " are allowed");
}

void check_bytes(const std::string& text, const std::string& param, size_t most) {
  if (text.empty()) refuse_value(param, "must not be empty");
  if (text.size() > most) refuse_value(param, "has " + std::to_string(text.size()) + " bytes; " + std::to_string(most) + " are allowed");
}

int32_t read_id(const Json& value, const std::string& param, const DecodeLimits& limits) {
  const int64_t id = read_integer(value, param);
  if (id < 0 || id >= limits.vocab_size)
    refuse_value(param, "is no token of the vocabulary: ids are 0 to " + std::to_string(limits.vocab_size - 1) + ", this one is " +
                            std::to_string(id));
  return static_cast<int32_t>(id);
}

TokenIds read_ids(const dom::array& list, std::string_view param, const DecodeLimits& limits) {
  TokenIds ids;
  for (const dom::element item : list) {
    if (ids.size() == limits.prompt_tokens) refuse_value(param, "has more than " + std::to_string(limits.prompt_tokens) + " token ids");
    // The path is spelled out for wrong ones only: a long prompt has many.
    int64_t id = -1;
    const bool fits = item.is_int64() && !item.get(id) && id >= 0 && id < limits.vocab_size;
    ids.push_back(fits ? static_cast<int32_t>(id) : read_id(item, element_path(param, ids.size()), limits));
  }
  return ids;
}

std::vector<std::string> read_strings(const dom::array& list, std::string_view param, size_t most) {
  if (list.size() > most) refuse_count(param, list.size(), most, "entries");
  std::vector<std::string> strings;
  for (const dom::element item : list) {
    strings.push_back(read_string(item, element_path(param, strings.size())));
  }
  return strings;
}

using Words = std::initializer_list<std::string_view>;

bool one_of(const Json& value, std::string_view param, Words words) {
  const std::string word = read_string(value, param);
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// One of `words`, else 400 that lists them.
std::string read_word(const Json& value, std::string_view param, Words words) {
  if (one_of(value, param, words)) return std::string(std::string_view(value));
  std::string all;
  for (const auto word : words) all += (all.empty() ? "" : word.data() == std::rbegin(words)->data() ? " or " : ", ") + std::string(word);
  refuse_value(param, "must be " + all + ", but is " + std::string(std::string_view(value).substr(0, 40)));
}

bool asks_for_nothing(const Json& value) {
  switch (value.type()) {
    case dom::element_type::BOOL: return !bool(value);
    case dom::element_type::INT64: return int64_t(value) == 0;
    case dom::element_type::UINT64: return false;
    case dom::element_type::DOUBLE: return double(value) == 0;
    case dom::element_type::STRING: return std::string_view(value).empty();
    case dom::element_type::ARRAY: return dom::array(value).size() == 0;
    case dom::element_type::OBJECT: return dom::object(value).size() == 0;
    default: return true;
  }
}

}  // namespace

void refuse_value(std::string_view param, const std::string& rule) {
  throw ApiError{400, std::string(param) + ": " + rule, "invalid_value", std::string(param)};
}

void refuse_unsupported(std::string_view param, const std::string& why) {
  throw ApiError{400, std::string(param) + ": " + why, "unsupported_parameter", std::string(param)};
}

void unknown_field(const std::string& name, const DecodeLimits& limits, Asked& asked) {
  if (limits.strict_fields) throw ApiError{400, name + ": there is no such field here (--strict-fields)", "unknown_parameter", name};
  asked.unknown.push_back(name);
}

std::string element_path(std::string_view list, size_t index) { return std::string(list) + "." + std::to_string(index); }

int64_t read_integer(const Json& value, std::string_view param, double min, double max) {
  int64_t number = 0;
  if (value.is_int64()) {
    number = int64_t(value);
  } else if (value.is_double() && std::trunc(double(value)) == double(value) && std::abs(double(value)) < 0x1p63) {
    number = static_cast<int64_t>(double(value));
  } else {
    refuse_kind(value, param, value.is_number() ? "an integer of 64 bits" : "an integer");
  }
  if (static_cast<double>(number) < min || static_cast<double>(number) > max) {
    Field range;
    range.min = min;
    range.max = max;
    refuse_value(param, "must be " + range_text(range) + ", but is " + std::to_string(number));
  }
  return number;
}

double read_number(const Json& value, std::string_view param) {
  if (value.is_int64()) return static_cast<double>(int64_t(value));
  if (value.is_uint64()) return static_cast<double>(uint64_t(value));
  if (!value.is_double()) refuse_kind(value, param, "a number");
  return double(value);
}

bool read_boolean(const Json& value, std::string_view param) {
  if (!value.is_bool()) refuse_kind(value, param, "true or false");
  return bool(value);
}

std::string read_string(const Json& value, std::string_view param) {
  if (!value.is_string()) refuse_kind(value, param, "a string");
  return std::string(std::string_view(value));
}

void read_stop(const Json& value, const Field& field, const DecodeLimits& limits, Asked& asked) {
  if (!value.is_string() && !value.is_array()) refuse_kind(value, field.name, "a string or a list of strings");
  if (value.is_string())
    asked.stop = {read_string(value, field.name)};
  else
    asked.stop = read_strings(as_list(value, field.name), field.name, limits.stops);
  for (size_t i = 0; i < asked.stop.size(); i++)
    check_bytes(asked.stop[i], value.is_string() ? std::string(field.name) : element_path(field.name, i), limits.stop_bytes);
}

void read_stop_token_ids(const Json& value, const Field& field, const DecodeLimits& limits, Asked& asked) {
  const dom::array list = as_list(value, field.name);
  if (list.size() > limits.logit_bias) refuse_count(field.name, list.size(), limits.logit_bias, "ids");
  asked.stop_token_ids = read_ids(list, field.name, limits);
}

void read_logprob_token_ids(const Json& value, const Field& field, const DecodeLimits& limits, Asked& asked) {
  const dom::array list = as_list(value, field.name);
  if (list.size() > limits.logit_bias) refuse_count(field.name, list.size(), limits.logit_bias, "ids");
  asked.logprob_token_ids.clear();
  for (const int32_t id : read_ids(list, field.name, limits))
    if (std::find(asked.logprob_token_ids.begin(), asked.logprob_token_ids.end(), id) == asked.logprob_token_ids.end())
      asked.logprob_token_ids.push_back(id);
}

void read_allowed_token_ids(const Json& value, const Field& field, const DecodeLimits& limits, Asked& asked) {
  asked.allowed_token_ids = read_ids(as_list(value, field.name), field.name, limits);
  if (asked.allowed_token_ids->empty()) refuse_value(field.name, "must name one token at least");
}

void read_bad_words(const Json& value, const Field& field, const DecodeLimits& limits, Asked& asked) {
  asked.bad_words = read_strings(as_list(value, field.name), field.name, limits.bad_words);
  for (size_t i = 0; i < asked.bad_words.size(); i++) check_bytes(asked.bad_words[i], element_path(field.name, i), limits.stop_bytes);
}

void read_logit_bias(const Json& value, const Field& field, const DecodeLimits& limits, Asked& asked) {
  const dom::object map = as_object(value, field.name);
  if (map.size() > limits.logit_bias) refuse_count(field.name, map.size(), limits.logit_bias, "entries");
  for (const auto [key, item] : map) {
    const std::string param = std::string(field.name) + "." + std::string(key.substr(0, 32));
    const bool digits =
        !key.empty() && key.size() <= 10 && std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
    const int64_t id = digits ? std::stoll(std::string(key)) : -1;
    if (id < 0 || id >= limits.vocab_size)
      refuse_value(param, "is no token of the vocabulary: ids are 0 to " + std::to_string(limits.vocab_size - 1));
    const double bias = read_number(item, param);
    if (!(bias >= -100 && bias <= 100)) refuse_kind(item, param, "-100 to 100");
    asked.logit_bias.emplace_back(static_cast<int32_t>(id), static_cast<float>(bias));
  }
}

void read_stream_options(const Json& value, const Field& field, const DecodeLimits& limits, Asked& asked) {
  asked.stream_options = true;
  for (const auto [key, item] : as_object(value, field.name)) {
    const std::string param = std::string(field.name) + "." + std::string(key.substr(0, 64));
    if (item.is_null()) continue;
    if (key == "include_usage")
      asked.include_usage = read_boolean(item, param);
    else if (key == "continuous_usage_stats")
      asked.continuous_usage_stats = read_boolean(item, param);
    else if (key == "include_obfuscation") {
      if (read_boolean(item, param)) asked.without_effect.push_back(param);
    } else
      unknown_field(param, limits, asked);
  }
}

void read_prompt(const Json& value, const Field& field, const DecodeLimits& limits, Asked& asked) {
  asked.prompts.clear();
  if (value.is_string()) {
    asked.prompts = {read_string(value, field.name)};
    return;
  }
  if (!value.is_array()) refuse_kind(value, field.name, "a string, a list of strings, a list of token ids or a list of such lists");
  const dom::array list(value);
  if (list.size() == 0) refuse_value(field.name, "must not be empty");
  if (list.at(0).is_number()) {
    asked.prompts = {read_ids(list, field.name, limits)};
    return;
  }
  if (list.size() > limits.prompts) refuse_count(field.name, list.size(), limits.prompts, "prompts");
  const bool texts = list.at(0).is_string();
  for (const dom::element item : list) {
    const std::string param = element_path(field.name, asked.prompts.size());
    if (texts) {
      asked.prompts.emplace_back(read_string(item, param));
    } else {
      asked.prompts.emplace_back(read_ids(as_list(item, param), param, limits));
      if (std::get<TokenIds>(asked.prompts.back()).empty()) refuse_value(param, "must not be empty");
    }
  }
}

void read_tokens(const Json& value, const Field& field, const DecodeLimits& limits, Asked& asked) {
  asked.tokens = read_ids(as_list(value, field.name), field.name, limits);
}

void read_truncation_side(const Json& value, const Field& field, const DecodeLimits&, Asked& asked) {
  asked.truncate_right = read_word(value, field.name, {"left", "right"}) == "right";
}

void read_infernum(const Json& value, const Field& field, const DecodeLimits& limits, Asked& asked) {
  for (const auto [key, item] : as_object(value, field.name)) {
    const std::string param = std::string(field.name) + "." + std::string(key.substr(0, 64));
    if (item.is_null()) continue;
    if (key == "timings")
      asked.timings = read_boolean(item, param);
    else
      unknown_field(param, limits, asked);
  }
}

void read_request_id(const Json& value, const Field& field, const DecodeLimits&, Asked& asked) {
  const std::string id = read_string(value, field.name);
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == ':' || c == '-';
  };
  if (id.empty() || id.size() > 128 || !std::all_of(id.begin(), id.end(), allowed))
    refuse_value(field.name, "must be 1 to 128 of the characters A-Z a-z 0-9 _ . : -");
  asked.request_id = id;
}

void read_cache_salt(const Json& value, const Field& field, const DecodeLimits&, Asked& asked) {
  const std::string salt = read_string(value, field.name);
  if (salt.empty() || salt.size() > 128 || salt.find_first_of(std::string_view("@/\\\0", 4)) != std::string::npos)
    refuse_value(field.name, "must be 1 to 128 characters without @ / \\ and NUL");
  asked.cache_salt = salt;
}

void read_reasoning_effort(const Json& value, const Field& field, const DecodeLimits&, Asked& asked) {
  asked.reasoning_effort = read_word(value, field.name, {"none", "minimal", "low", "medium", "high", "xhigh", "max"});
}

void read_verbosity(const Json& value, const Field& field, const DecodeLimits&, Asked& asked) {
  asked.verbosity = read_word(value, field.name, {"low", "medium", "high"});
}

void read_documents(const Json& value, const Field& field, const DecodeLimits& limits, Asked& asked) {
  const dom::array list = as_list(value, field.name);
  if (list.size() > limits.messages) refuse_count(field.name, list.size(), limits.messages, "entries");
  size_t i = 0;
  for (const dom::element item : list) as_object(item, element_path(field.name, i++));
  asked.documents = std::make_shared<const nlohmann::ordered_json>(to_document(value));
}

void read_template_kwargs(const Json& value, const Field& field, const DecodeLimits&, Asked& asked) {
  // What a template is called with beside them, as here and in the tokenizers library: overriding one would change what was checked.
  constexpr std::string_view reserved[] = {"messages",
                                           "conversation",
                                           "tools",
                                           "documents",
                                           "add_generation_prompt",
                                           "continue_final_message",
                                           "chat_template",
                                           "tokenize",
                                           "tokenizer",
                                           "bos_token",
                                           "eos_token",
                                           "unk_token",
                                           "pad_token",
                                           "raise_exception",
                                           "strftime_now",
                                           "namespace",
                                           "range",
                                           "cycler",
                                           "joiner",
                                           "dict",
                                           "lipsum"};
  for (const auto [key, item] : as_object(value, field.name))
    if (std::find(std::begin(reserved), std::end(reserved), key) != std::end(reserved))
      refuse_value(std::string(field.name) + "." + std::string(key), "is a name that the template is called with; it cannot be set here");
  asked.chat_template_kwargs = std::make_shared<const nlohmann::ordered_json>(to_document(value));
}

void read_chat_template(const Json& value, const Field& field, const DecodeLimits& limits, Asked& asked) {
  asked.chat_template = read_string(value, field.name);
  if (!limits.request_templates)
    refuse_unsupported(field.name, "the server takes no templates from requests (--trust-request-chat-template)");
}

void refuse_any(const Json&, const Field& field, const DecodeLimits&, Asked&) { refuse_unsupported(field.name, "is not supported"); }

void refuse_unless_empty(const Json& value, const Field& field, const DecodeLimits&, Asked&) {
  if (!asks_for_nothing(value)) refuse_unsupported(field.name, "is not supported");
}

void refuse_unless_true(const Json& value, const Field& field, const DecodeLimits&, Asked&) {
  if (!read_boolean(value, field.name)) refuse_unsupported(field.name, "false is not supported");
}

void refuse_response_format(const Json& value, const Field& field, const DecodeLimits&, Asked&) {
  const dom::object format = as_object(value, field.name);
  const std::string param = std::string(field.name) + ".type";
  const auto type = format.at_key("type");
  if (type.error()) refuse_value(param, "is missing");
  if (!one_of(type.value_unsafe(), param, {"text"})) refuse_unsupported(param, "only text is supported");
}

void refuse_tools(const Json& value, const Field& field, const DecodeLimits&, Asked&) {
  if (as_list(value, field.name).size() == 0) refuse_value(field.name, "must not be empty");
  refuse_unsupported(field.name, "tools are not supported");
}

void refuse_tool_choice(const Json& value, const Field& field, const DecodeLimits&, Asked&) {
  if (value.is_string() && std::string_view(value) == "none") return;
  refuse_value(field.name, "only none is allowed without tools");
}

void refuse_modalities(const Json& value, const Field& field, const DecodeLimits&, Asked&) {
  size_t i = 0;
  for (const dom::element item : as_list(value, field.name)) {
    const std::string param = element_path(field.name, i++);
    if (!one_of(item, param, {"text"})) refuse_unsupported(param, "only text is supported");
  }
}

void check_metadata(const Json& value, const Field& field, const DecodeLimits&, Asked&) {
  if (const size_t keys = as_object(value, field.name).size(); keys > 16) refuse_count(field.name, keys, 16, "keys");
}

void check_object(const Json& value, const Field& field, const DecodeLimits&, Asked&) { as_object(value, field.name); }
void check_string(const Json& value, const Field& field, const DecodeLimits&, Asked&) { read_string(value, field.name); }
void check_boolean(const Json& value, const Field& field, const DecodeLimits&, Asked&) { read_boolean(value, field.name); }

void check_service_tier(const Json& value, const Field& field, const DecodeLimits&, Asked&) {
  read_word(value, field.name, {"auto", "default", "flex", "scale", "priority", "fast"});
}

}  // namespace infernum::server::openai
