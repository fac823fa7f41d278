// The text side of a checkpoint: its tokenizer, its chat template and the tokens that end a generation.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "text/chat_template.h"
#include "text/chat_template_messages.h"
#include "text/tokenizer.h"

namespace infernum {

/// From tokenizer.json, or from the vocabulary inside a GGUF file. Throws when the checkpoint brings none.
Tokenizer load_tokenizer(const Checkpoint& checkpoint);

/// Ids that end a generation: those of every config file and of the tokenizer, ascending.
std::vector<int32_t> end_of_generation_ids(const Checkpoint& checkpoint, const Tokenizer& tokenizer);

/// A plain text as the beginning of a sequence: with what the tokenizer adds, and BOS for families that need it although not every one of
/// their tokenizers adds it.
std::vector<int32_t> encode_plain(const Checkpoint& checkpoint, const Tokenizer& tokenizer, std::string_view text);

/// The checkpoint's own chat template; "" when it brings none.
std::string template_source(const Checkpoint& checkpoint);

/// bos_token, eos_token ... as templates see them.
std::vector<std::pair<std::string, std::string>> special_tokens(const Tokenizer& tokenizer);

/// A chat template with what rendering a conversation needs besides the messages.
class Chat {
 public:
  /// `source` empty: the checkpoint's own; throws when it brings none.
  Chat(const Checkpoint& checkpoint, const Tokenizer& tokenizer, std::string source = {});
  /// The prompt for `messages` (a list of {role, content, ...}). User text can never become a special token.
  std::vector<int32_t> encode(const nlohmann::ordered_json& messages, bool add_generation_prompt = true) const;
  std::vector<Span> render(const nlohmann::ordered_json& messages, bool add_generation_prompt = true) const;
  static bool available(const Checkpoint& checkpoint);

 private:
  Tokenizer tokenizer_;
  ChatTemplate template_;
  std::vector<std::pair<std::string, std::string>> special_tokens_;
  MessageForm form_;
};

}  // namespace infernum
