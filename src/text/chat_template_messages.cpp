// Finds out which form of messages a template understands, and brings messages into it.
#include "text/chat_template_messages.h"

#include <nlohmann/json.hpp>

#include "text/jinja_json.h"
#include "text/ordered_json.h"

namespace infernum {
namespace {

using Json = nlohmann::ordered_json;
using Tokens = std::vector<std::pair<std::string, std::string>>;

constexpr std::string_view needle_word = "Quokka37";  // a word no template contains

/// What the template prints for these messages; empty where it refuses them. Templates made for tool use want tools.
std::string attempt(const ChatTemplate& chat, const Tokens& tokens, const Json& messages) {
  static const Json key = {{"type", "string"}, {"description", "d"}};
  static const Json parameters = {{"type", "object"}, {"properties", {{"key", key}}}, {"required", Json::array({"key"})}};
  static const Json function = {{"name", "probe"}, {"description", "d"}, {"parameters", parameters}};
  static const Json tools = Json::array({{{"type", "function"}, {"function", function}}});
  ChatInputs inputs;
  inputs.messages = &messages;
  inputs.special_tokens = tokens;
  for (const bool with_tools : {messages.size() > 1, messages.size() <= 1}) {
    inputs.tools = with_tools ? &tools : nullptr;
    try {
      return joined(chat.render(inputs));
    } catch (const TemplateError&) {
      continue;  // being refused is an answer too
    }
  }
  return "";
}

bool holds(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

Json one_message(const Json& content) { return {{{"role", "user"}, {"content", content}}}; }

/// A complete exchange, so that templates which insist on one are content; the id has the nine letters Mistral asks for.
Json tool_exchange(const Json& content, const Json& arguments) {
  const Json call = {{"id", "abcdefghi"}, {"type", "function"}, {"function", {{"name", "probe"}, {"arguments", arguments}}}};
  return {{{"role", "user"}, {"content", "x"}},
          {{"role", "assistant"}, {"content", content}, {"tool_calls", Json::array({call})}},
          {{"role", "tool"}, {"name", "probe"}, {"tool_call_id", "abcdefghi"}, {"content", "y"}}};
}

}  // namespace

MessageForm detect_message_form(const ChatTemplate& chat, const Tokens& special_tokens) {
  MessageForm form;
  const std::string needle(needle_word);
  const std::string plain = attempt(chat, special_tokens, one_message(needle));
  const std::string parts = attempt(chat, special_tokens, one_message(Json::array({{{"type", "text"}, {"text", needle}}})));
  // A template that does not iterate prints the list itself: as Python or as JSON.
  form.parts = holds(parts, needle) && !holds(parts, "'text': '" + needle) && !holds(parts, "\"text\": \"" + needle);
  form.only_parts = form.parts && !holds(plain, needle);

  const std::string objects = attempt(chat, special_tokens, tool_exchange("", {{"key", needle}}));
  const std::string strings = attempt(chat, special_tokens, tool_exchange("", "{\"key\": \"" + needle + "\"}"));
  const bool object_works = holds(objects, needle) && !holds(objects, "{'key': '");  // Python's form is no use to a model
  const bool string_works = holds(strings, needle) && !holds(strings, "\\\"key\\\"");
  form.argument_objects = object_works || !string_works;

  const std::string with_null =
      attempt(chat, special_tokens, tool_exchange(nullptr, form.argument_objects ? Json{{"key", needle}} : Json("{}")));
  const std::string with_empty =
      attempt(chat, special_tokens, tool_exchange("", form.argument_objects ? Json{{"key", needle}} : Json("{}")));
  form.null_content = !with_null.empty() && (!holds(with_null, "None") || holds(with_empty, "None"));
  return form;
}

namespace {

/// The text parts one after the other; null where a part is no text, which only the template itself could place.
Json joined_parts(const Json& parts) {
  std::string all;
  for (auto& part : parts) {
    if (!part.is_object() || !part.contains("text") || !part["text"].is_string()) return nullptr;
    if (part.contains("type") && part["type"] != "text" && part["type"] != "input_text" && part["type"] != "output_text") return nullptr;
    all += part["text"].get_ref<const std::string&>();
  }
  return all;
}

void shape_content(Json& content, const MessageForm& form) {
  if (content.is_null() && !form.null_content) content = "";
  if (content.is_array() && !form.parts) {
    Json text = joined_parts(content);
    if (!text.is_null()) content = std::move(text);
  } else if (content.is_string() && form.only_parts) {
    content = Json::array({{{"type", "text"}, {"text", std::move(content.get_ref<std::string&>())}}});
  }
}

void shape_arguments(Json& calls, const MessageForm& form) {
  for (auto& call : calls) {
    if (!call.is_object()) continue;
    Json& function = call.contains("function") && call["function"].is_object() ? call["function"] : call;
    if (!function.contains("arguments")) continue;
    Json& arguments = function["arguments"];
    if (arguments.is_string() && form.argument_objects && !jinja::nests_deeper(arguments.get_ref<const std::string&>(), Limits().nesting)) {
      try {
        Json parsed = parse_ordered_json(arguments.get_ref<const std::string&>(), "arguments");
        if (parsed.is_object()) arguments = std::move(parsed);
      } catch (const Error&) {}  // no JSON: stays as the client wrote it
    } else if (arguments.is_object() && !form.argument_objects) {
      arguments = arguments.dump(-1, ' ', false, Json::error_handler_t::replace);
    }
  }
}

}  // namespace

Json shape_messages(const Json& messages, const MessageForm& form) {
  Json shaped = messages;
  if (!shaped.is_array()) return shaped;
  for (auto& message : shaped) {
    if (!message.is_object()) continue;
    if (message.contains("content")) shape_content(message["content"], form);
    if (message.contains("tool_calls") && message["tool_calls"].is_array()) shape_arguments(message["tool_calls"], form);
  }
  return shaped;
}

}  // namespace infernum
