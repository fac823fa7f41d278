#include "text/load_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "checkpoint/config_view.h"
#include "checkpoint/gguf_family.h"
#include "checkpoint/gguf_metadata.h"
#include "core/check.h"
#include "text/chat_template_source.h"
#include "text/gguf_vocab.h"
#include "text/ordered_json.h"

namespace infernum {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> copied(const std::optional<std::vector<std::string_view>>& views) {
  std::vector<std::string> strings;
  if (views) strings.assign(views->begin(), views->end());
  return strings;
}

GgufVocab read_vocab(const GgufMetadata& meta) {
  const std::string prefix = "tokenizer.ggml.";
  const auto text = [&](const std::string& key) { return std::string(meta.find_string(key).value_or("")); };
  const auto id = [&](const char* key) -> std::optional<int32_t> {
    const auto value = meta.find_int(prefix + key, -1, INT32_MAX);
    if (!value || *value < 0) return {};
    return static_cast<int32_t>(*value);
  };
  const auto flag = [&](const char* key) { return meta.find_bool(prefix + key); };
  GgufVocab v;
  v.strip_right = added_tokens_strip_right(text("general.name"));
  v.model = text(prefix + "model");
  v.pre = text(prefix + "pre");
  v.tokens = copied(meta.find_strings(prefix + "tokens"));
  v.scores = meta.find_floats(prefix + "scores").value_or(std::vector<float>());
  if (const auto types = meta.find_ints(prefix + "token_type"))
    for (int64_t t : *types) v.token_type.push_back(static_cast<int32_t>(std::clamp<int64_t>(t, INT32_MIN, INT32_MAX)));
  v.merges = copied(meta.find_strings(prefix + "merges"));
  if (const auto map = meta.find_bytes(prefix + "precompiled_charsmap"))
    v.precompiled_charsmap.assign(reinterpret_cast<const char*>(map->data()), map->size());
  v.bos_token_id = id("bos_token_id");
  v.eos_token_id = id("eos_token_id");
  v.unknown_token_id = id("unknown_token_id");
  v.seperator_token_id = id("seperator_token_id");  // spelled so in the files; some spell it right
  if (!v.seperator_token_id) v.seperator_token_id = id("separator_token_id");
  v.padding_token_id = id("padding_token_id");
  v.cls_token_id = id("cls_token_id");
  v.mask_token_id = id("mask_token_id");
  v.eot_token_id = id("eot_token_id");
  v.eom_token_id = id("eom_token_id");
  v.fim_pad_token_id = id("fim_pad_token_id");
  v.fim_rep_token_id = id("fim_rep_token_id");
  v.fim_sep_token_id = id("fim_sep_token_id");
  v.add_bos_token = flag("add_bos_token");
  v.add_eos_token = flag("add_eos_token");
  v.add_sep_token = flag("add_sep_token");
  v.add_space_prefix = flag("add_space_prefix");
  v.remove_extra_whitespaces = flag("remove_extra_whitespaces");
  v.huggingface_json = text("tokenizer.huggingface.json");
  return v;
}

TemplateSources find_sources(const Checkpoint& c) {
  if (!c.tokenizer_config_json.empty() || !c.chat_template.empty()) {
    Json config = Json::object();
    if (!c.tokenizer_config_json.empty()) config = parse_ordered_json(c.tokenizer_config_json, "tokenizer_config.json");
    std::optional<std::string> file;
    if (!c.chat_template.empty()) file = c.chat_template;
    return template_sources(config, file);
  }
  if (!c.gguf) return {};
  return template_sources_gguf([&](std::string_view key) -> std::optional<std::string> {
    const auto value = c.gguf->find_string(key);
    return value ? std::optional<std::string>(*value) : std::nullopt;
  });
}

bool begins_with_bos(const Checkpoint& c) {
  const nlohmann::json config = text_config(parse_json_object(c.config_json, "config.json"));
  const auto type = config.find("model_type");
  const GgufFamily* family = type != config.end() && type->is_string() ? find_gguf_family(type->get<std::string>()) : nullptr;
  return family && family->begins_with_bos;
}

}  // namespace

std::string template_source(const Checkpoint& checkpoint) {
  const TemplateSources sources = find_sources(checkpoint);
  const std::string* found = select_template(sources, false);
  return found ? *found : std::string();
}

std::vector<std::pair<std::string, std::string>> special_tokens(const Tokenizer& t) {
  std::vector<std::pair<std::string, std::string>> list;
  const auto add = [&](const char* name, std::optional<int32_t> id) {
    if (id) list.emplace_back(name, std::string(t.token_text(*id)));
  };
  add("bos_token", t.bos_id());
  add("eos_token", t.eos_id());
  add("unk_token", t.unk_id());
  add("pad_token", t.pad_id());
  return list;
}

Tokenizer load_tokenizer(const Checkpoint& checkpoint) {
  if (!checkpoint.tokenizer_json.empty()) return Tokenizer::from_json(checkpoint.tokenizer_json, checkpoint.tokenizer_config_json);
  check(checkpoint.gguf != nullptr, "tokenizer: this checkpoint has no tokenizer.json", checkpoint.path);
  return Tokenizer::from_gguf(read_vocab(*checkpoint.gguf));
}

std::vector<int32_t> end_of_generation_ids(const Checkpoint& checkpoint, const Tokenizer& tokenizer) {
  std::vector<int32_t> ids(checkpoint.eos_token_ids.begin(), checkpoint.eos_token_ids.end());
  const auto& more = tokenizer.end_of_generation_ids();
  ids.insert(ids.end(), more.begin(), more.end());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

std::vector<int32_t> encode_plain(const Checkpoint& checkpoint, const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int32_t> ids = tokenizer.encode(text);
  const auto bos = tokenizer.bos_id();
  if (bos && begins_with_bos(checkpoint) && (ids.empty() || ids.front() != *bos)) ids.insert(ids.begin(), *bos);
  return ids;
}

namespace {

std::string needed_template(const Checkpoint& checkpoint) {
  std::string source = template_source(checkpoint);
  check(!source.empty(), "chat: this checkpoint brings no chat template; give one with --chat-template", checkpoint.path);
  return source;
}

}  // namespace

Chat::Chat(const Checkpoint& checkpoint, const Tokenizer& tokenizer, std::string source)
    : tokenizer_(tokenizer),
      template_(source.empty() ? needed_template(checkpoint) : std::move(source)),
      special_tokens_(special_tokens(tokenizer)),
      form_(detect_message_form(template_, special_tokens_)) {}

bool Chat::available(const Checkpoint& checkpoint) { return !template_source(checkpoint).empty(); }

std::vector<Span> Chat::render(const Json& messages, bool add_generation_prompt) const {
  const Json shaped = shape_messages(messages, form_);
  ChatInputs inputs;
  inputs.messages = &shaped;
  inputs.add_generation_prompt = add_generation_prompt;
  inputs.special_tokens = special_tokens_;
  return template_.render(inputs);
}

std::vector<int32_t> Chat::encode(const Json& messages, bool add_generation_prompt) const {
  const std::vector<Span> spans = render(messages, add_generation_prompt);
  std::vector<TextSpan> parts;
  for (const Span& s : spans) parts.push_back({s.text, s.trusted});
  return tokenizer_.encode(parts, {false, true});  // the template writes BOS itself
}

}  // namespace infernum
