// Brings a conversation into the form its template expects. Requests say the same thing in several ways (a tool call's
// arguments as a JSON string, content null, content in parts); a template usually understands only one of them.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "text/chat_template.h"

namespace infernum {

/// How a template wants its messages.
struct MessageForm {
  bool parts = false;            // it iterates over content part lists: they stay lists
  bool only_parts = false;       // it ignores content strings: they become a list with one text part
  bool argument_objects = true;  // it prints tool-call arguments from objects; else they stay JSON strings
  bool null_content = false;     // it copes with content null; else null becomes ""
  bool operator==(const MessageForm&) const = default;
};

/// Found out by rendering each form once, when the template is loaded. `special_tokens` as for rendering.
MessageForm detect_message_form(const ChatTemplate& chat, const std::vector<std::pair<std::string, std::string>>& special_tokens = {});

/// The messages in that form. No key is added, key order and everything else stay as they are.
nlohmann::ordered_json shape_messages(const nlohmann::ordered_json& messages, const MessageForm& form);

}  // namespace infernum
