// `infernum quantize`, `convert`, `tokenize` and `template`: small tools around checkpoints.
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "backends/cpu/thread_pool.h"
#include "checkpoint/convert.h"
#include "checkpoint/text_file.h"
#include "core/check.h"
#include "options.h"
#include "session.h"
#include "text/load_text.h"
#include "text/ordered_json.h"

namespace infernum::app {

int convert(const QuantizeFlags& flags) {
  Conversion c;
  c.input = resolve_model(flags.input);
  c.output = flags.output;
  if (flags.type.empty())
    c.type.reset();
  else
    set_target(c, flags.type);
  c.threads = flags.threads ? flags.threads : available_threads();
  const bool bar = isatty(2);
  auto last = std::chrono::steady_clock::now();
  c.progress = [&](std::string_view tensor, int64_t done, int64_t total) {
    if (Interruptible::interrupted()) throw Interrupted();
    const auto now = std::chrono::steady_clock::now();
    if (!bar && now - last < std::chrono::seconds(5)) return;
    last = now;
    std::fprintf(stderr, "%s%lld of %lld %.*s%s", bar ? "\r\033[K" : "", static_cast<long long>(done), static_cast<long long>(total),
                 static_cast<int>(tensor.size()), tensor.data(), !bar || done == total ? "\n" : "");
  };
  const Interruptible guard;  // the unfinished file is removed
  convert_to_gguf(c);
  return 0;
}

int quantize(const QuantizeFlags& flags) { return convert(flags); }

/// Numbers between spaces, commas and brackets.
std::vector<int32_t> parse_ids(const std::string& text, int64_t vocab_size) {
  std::vector<int32_t> ids;
  for (size_t at = 0; (at = text.find_first_not_of(" \t\r\n,[]", at)) != std::string::npos;) {
    const std::string word = text.substr(at, std::min(text.find_first_of(" \t\r\n,[]", at), text.size()) - at);
    int32_t id = -1;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || end != word.data() + word.size() || id < 0 || id >= vocab_size)
      fail("tokenize: an id is a whole number below the size of the vocabulary", vocab_size, "got", infernum::printable(word));
    ids.push_back(id);
    at += word.size();
  }
  return ids;
}

int tokenize(const TokenizeFlags& flags) {
  const Checkpoint checkpoint = open_checkpoint(resolve_model(flags.model), Opening::HeadersOnly);
  const Tokenizer tokenizer = load_tokenizer(checkpoint);
  const std::string text = flags.text_given ? flags.text : read_stdin();
  if (flags.decode) {
    std::printf("%s\n", tokenizer.decode(parse_ids(text, tokenizer.vocab_size()), false).c_str());
    return 0;
  }
  for (int32_t id : tokenizer.encode(text, {!flags.no_special, true})) {
    if (flags.pieces)
      std::printf(
          "%d\t%s\n", id,
          nlohmann::json(std::string(tokenizer.token_text(id))).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    else
      std::printf("%d ", id);
  }
  if (!flags.pieces) std::printf("\n");
  return 0;
}

int render_template(const TemplateFlags& flags) {
  const Checkpoint checkpoint = open_checkpoint(resolve_model(flags.model), Opening::HeadersOnly);
  const Tokenizer tokenizer = load_tokenizer(checkpoint);
  const Chat chat(checkpoint, tokenizer, flags.chat_template_file.empty() ? "" : read_text_file(flags.chat_template_file, 4 << 20));
  nlohmann::ordered_json messages =
      parse_ordered_json(flags.messages_file.empty() ? read_stdin() : read_text_file(flags.messages_file), "template: the messages");
  if (messages.is_object() && messages.contains("messages")) messages = nlohmann::ordered_json(messages["messages"]);
  check(messages.is_array(), "template: messages are a list of {role, content} objects");
  if (flags.ids) {
    for (int32_t id : chat.encode(messages, !flags.no_generation_prompt)) std::printf("%d ", id);
    std::printf("\n");
  } else {
    std::fputs(joined(chat.render(messages, !flags.no_generation_prompt)).c_str(), stdout);
  }
  return 0;
}

}  // namespace infernum::app
