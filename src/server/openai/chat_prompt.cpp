#include "server/openai/chat_prompt.h"

#include <nlohmann/json.hpp>

#include "server/openai/api_error.h"
#include "text/load_text.h"

namespace infernum::server::openai {
namespace {

using Tree = nlohmann::ordered_json;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view spaces = " \t\r\n\f\v";
  const size_t begin = text.find_first_not_of(spaces);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(spaces) + 1 - begin);
}

/// The text of the last message: its content, or the last part of it.
std::string final_text(const Tree& messages) {
  const Tree& content = messages.back()["content"];
  if (content.is_string()) return content.get<std::string>();
  if (content.is_array() && !content.empty()) return content.back().value("text", std::string());
  return {};
}

/// Cuts what the template writes behind the last message, so that the model goes on within it. As transformers does: the last place where
/// the message's text stands, with its outer spaces if the template kept them.
std::vector<Span> open_final_message(std::vector<Span> spans, const Tree& messages) {
  const std::string text = final_text(messages);
  const std::string_view core = trimmed(text);
  const std::string all = joined(spans);
  const size_t at = core.empty() ? std::string::npos : all.rfind(core);
  if (at == std::string::npos)
    throw ApiError{400, "continue_final_message: the chat template does not print the last message's text", "invalid_value",
                   "continue_final_message"};
  const size_t lead = static_cast<size_t>(core.data() - text.data());
  const bool kept = at >= lead && all.compare(at - lead, text.size(), text) == 0;
  size_t left = kept ? at - lead + text.size() : at + core.size();
  std::vector<Span> out;
  for (Span& span : spans) {
    if (left == 0) break;
    if (span.text.size() > left) span.text.resize(left);
    left -= span.text.size();
    out.push_back(std::move(span));
  }
  return out;
}

/// Templates that do not know developers have systems.
Tree plain_roles(const Tree& messages) {
  Tree out = messages;
  for (Tree& message : out)
    if (message["role"] == "developer") message["role"] = "system";
  return out;
}

}  // namespace

ChatPrompt::ChatPrompt(const Tokenizer& tokenizer, std::string source)
    : template_(std::move(source)), special_tokens_(special_tokens(tokenizer)), form_(detect_message_form(template_, special_tokens_)) {}

std::vector<Span> ChatPrompt::render(const Asked& asked) const {
  const bool continues = asked.continue_final_message.value_or(false);
  if (continues && asked.add_generation_prompt.value_or(false))
    throw ApiError{400, "continue_final_message and add_generation_prompt cannot both be true", "invalid_value", "continue_final_message"};
  Tree extra = asked.chat_template_kwargs ? *asked.chat_template_kwargs : Tree::object();
  if (asked.reasoning_effort) {
    if (!extra.contains("enable_thinking") && knows("enable_thinking")) extra["enable_thinking"] = *asked.reasoning_effort != "none";
    if (!extra.contains("reasoning_effort")) extra["reasoning_effort"] = *asked.reasoning_effort;
  }
  if (asked.verbosity && !extra.contains("verbosity")) extra["verbosity"] = *asked.verbosity;
  const Tree shaped = shape_messages(knows("developer") ? *asked.messages : plain_roles(*asked.messages), form_);
  ChatInputs inputs;
  inputs.messages = &shaped;
  inputs.documents = asked.documents.get();
  inputs.add_generation_prompt = continues ? false : asked.add_generation_prompt.value_or(true);
  inputs.special_tokens = special_tokens_;
  inputs.extra = &extra;
  try {
    std::vector<Span> spans = template_.render(inputs);
    return continues ? open_final_message(std::move(spans), *asked.messages) : spans;
  } catch (const TemplateRefusal& e) {
    throw ApiError{400, "the model's chat template refuses these messages: " + e.message, "invalid_value", "messages"};
  } catch (const TemplateError& e) {
    throw ApiError{400, "the chat template does not take these messages: " + e.message, "invalid_value", "messages"};
  }
}

}  // namespace infernum::server::openai
