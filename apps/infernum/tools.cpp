// `infernum quantize`, `tokenize` and `template`: small tools around checkpoints.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "backends/cpu/thread_pool.h"
#include "checkpoint/convert.h"
#include "core/check.h"
#include "options.h"
#include "session.h"
#include "text/load_text.h"

namespace infernum::app {

int quantize(const QuantizeFlags& flags) {
  Conversion c;
  c.input = resolve_model(flags.input);
  c.output = flags.output;
  c.type = parse_gguf_type(flags.type);
  c.threads = flags.threads ? flags.threads : available_threads();
  c.progress = [](std::string_view tensor, int64_t done, int64_t total) {
    std::fprintf(stderr, "\r\033[K%lld of %lld %.*s", static_cast<long long>(done), static_cast<long long>(total), static_cast<int>(tensor.size()), tensor.data());
    if (done == total) std::fprintf(stderr, "\n");
  };
  convert_to_gguf(c);
  return 0;
}

int tokenize(const TokenizeFlags& flags) {
  const Checkpoint checkpoint = open_checkpoint(resolve_model(flags.model), Opening::HeadersOnly);
  const Tokenizer tokenizer = load_tokenizer(checkpoint);
  const std::string text = flags.text.empty() ? read_stdin() : flags.text;
  if (flags.decode) {
    std::vector<int32_t> ids;
    for (size_t at = 0; (at = text.find_first_of("0123456789", at)) != std::string::npos;) {
      size_t used = 0;
      const long long id = std::stoll(text.substr(at, 18), &used);
      check(id < tokenizer.vocab_size(), "tokenize: an id beyond the vocabulary", id, tokenizer.vocab_size());
      ids.push_back(static_cast<int32_t>(id));
      at += used;
    }
    std::printf("%s\n", tokenizer.decode(ids, false).c_str());
    return 0;
  }
  for (int32_t id : tokenizer.encode(text, {!flags.no_special, true})) {
    if (flags.pieces) std::printf("%d\t%s\n", id, nlohmann::json(std::string(tokenizer.token_text(id))).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    else std::printf("%d ", id);
  }
  if (!flags.pieces) std::printf("\n");
  return 0;
}

int render_template(const TemplateFlags& flags) {
  const Checkpoint checkpoint = open_checkpoint(resolve_model(flags.model), Opening::HeadersOnly);
  const Tokenizer tokenizer = load_tokenizer(checkpoint);
  const Chat chat(checkpoint, tokenizer);
  nlohmann::ordered_json messages;
  try {
    messages = nlohmann::ordered_json::parse(flags.messages_file.empty() ? read_stdin() : read_text_file(flags.messages_file));
  } catch (const nlohmann::json::exception& e) {
    fail("template: the messages are not valid JSON", e.what());
  }
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
