// Chat templates: from a conversation to the prompt a model was trained on, by our own interpreter of the Jinja subset in use.
#pragma once
#include <ctime>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/chat_template_limits.h"

namespace infernum {

/// A piece of the prompt. Control tokens may be found in trusted pieces only: the others came from the request.
struct Span {
  std::string text;
  bool trusted = true;
  bool operator==(const Span&) const = default;
};

std::string joined(const std::vector<Span>& spans);

/// What a template is rendered with. The documents are borrowed for the call.
struct ChatInputs {
  const nlohmann::ordered_json* messages = nullptr;   // a list, as the template shall see it (see chat_template_messages.h)
  const nlohmann::ordered_json* tools = nullptr;      // null: none
  const nlohmann::ordered_json* documents = nullptr;  // null: none
  bool add_generation_prompt = true;
  std::vector<std::pair<std::string, std::string>> special_tokens;  // {"bos_token", "<s>"} ...
  const nlohmann::ordered_json* extra = nullptr;                    // an object: chat_template_kwargs
  std::optional<std::time_t> now;                                   // for strftime_now; the present if not given
};

class ChatTemplate {
 public:
  using Inputs = ChatInputs;
  explicit ChatTemplate(std::string source, Limits limits = {}, Dialect dialect = Dialect::Extended);
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  /// Throws TemplateError, or TemplateRefusal where the template says raise_exception. Safe to call from many threads.
  std::vector<Span> render(const Inputs& inputs) const;
  const std::string& source() const;

 private:
  struct State;
  std::unique_ptr<const State> state_;
};

}  // namespace infernum
