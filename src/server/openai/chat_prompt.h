// ChatPrompt: a conversation as a request says it, rendered by a chat template.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "server/openai/asked.h"
#include "text/chat_template.h"
#include "text/chat_template_messages.h"
#include "text/tokenizer.h"

namespace infernum::server::openai {

class ChatPrompt {
 public:
  ChatPrompt(const Tokenizer& tokenizer, std::string source);

  /// Messages, documents, kwargs and the flags of `asked`. What the request says can never become a control token. Throws ApiError.
  std::vector<Span> render(const Asked& asked) const;
  const std::string& source() const { return template_.source(); }

 private:
  bool knows(std::string_view variable) const { return source().find(variable) != std::string::npos; }

  ChatTemplate template_;
  std::vector<std::pair<std::string, std::string>> special_tokens_;
  MessageForm form_;
};

}  // namespace infernum::server::openai
