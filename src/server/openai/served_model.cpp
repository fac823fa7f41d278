#include "server/openai/served_model.h"

#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "checkpoint/gguf_metadata.h"
#include "runtime/default_sampling.h"
#include "text/chat_template_source.h"
#include "text/load_text.h"
#include "text/ordered_json.h"

namespace infernum::server {
namespace {

std::string own_template(const Checkpoint& c) {
  TemplateSources sources;
  if (!c.tokenizer_config_json.empty() || !c.chat_template.empty()) {
    nlohmann::ordered_json config = nlohmann::ordered_json::object();
    if (!c.tokenizer_config_json.empty()) config = parse_ordered_json(c.tokenizer_config_json, "tokenizer_config.json");
    sources = template_sources(config, c.chat_template.empty() ? std::nullopt : std::optional(c.chat_template));
  } else if (c.gguf) {
    sources = template_sources_gguf([&](std::string_view key) -> std::optional<std::string> {
      const auto value = c.gguf->find_string(key);
      return value ? std::optional<std::string>(*value) : std::nullopt;
    });
  }
  const std::string* found = select_template(sources, false);
  return found ? *found : std::string();
}

/// BOS, if this checkpoint's texts begin with one that its tokenizer does not add.
std::optional<int32_t> missing_bos(const Checkpoint& checkpoint, const Tokenizer& tokenizer) {
  const std::vector<int32_t> ours = tokenizer.encode("a"), right = encode_plain(checkpoint, tokenizer, "a");
  return right.size() > ours.size() ? std::optional(right.front()) : std::nullopt;
}

}  // namespace

ServedModel served_model(const Checkpoint& checkpoint, std::string chat_template) {
  ServedModel model{{}, load_tokenizer(checkpoint), nullptr, with_default_sampling(checkpoint, {}, {}), {}, {}, 0, checkpoint.path, 0, {}};
  if (chat_template.empty()) chat_template = own_template(checkpoint);
  if (!chat_template.empty()) model.chat = std::make_shared<const openai::ChatPrompt>(model.tokenizer, std::move(chat_template));
  model.end_ids = end_of_generation_ids(checkpoint, model.tokenizer);
  model.bos = missing_bos(checkpoint, model.tokenizer);
  return model;
}

}  // namespace infernum::server
