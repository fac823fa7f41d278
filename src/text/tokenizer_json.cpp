// tokenizer.json and tokenizer_config.json to a tokenizer.
#include <algorithm>
#include <map>

#include "text/json_components.h"
#include "text/json_model.h"
#include "text/tokenizer.h"

namespace infernum {

using namespace text;

namespace {

constexpr size_t max_file_bytes = 512u << 20;
constexpr size_t max_json_depth = 128;

Json parse(simdjson::dom::parser& parser, const simdjson::padded_string& text, const char* name) {
  check(text.size() <= max_file_bytes, "tokenizer file: larger than 512 MiB", name, text.size());
  if (parser.allocate(std::max<size_t>(text.size(), 64), max_json_depth)) fail("tokenizer file: out of memory", name, text.size());
  simdjson::dom::element root;
  if (const auto error = parser.parse(text).get(root)) fail("tokenizer file: not valid JSON", name, simdjson::error_message(error));
  Json json(root, name);
  json.object();
  return json;
}

AddedToken read_added_token(const Json& json, int64_t id) {
  check(id >= 0 && id < TokenizerParts::max_vocab, "tokenizer file: added token id out of range [0, 4194304) at", json.path(), id);
  AddedToken token;
  token.id = static_cast<int32_t>(id);
  token.content = json.at("content").string();
  check(!token.content.empty(), "tokenizer file: empty added token at", json.path());
  token.single_word = json.boolean_or("single_word", false);
  token.lstrip = json.boolean_or("lstrip", false);
  token.rstrip = json.boolean_or("rstrip", false);
  token.special = json.boolean_or("special", false);
  token.normalized = json.boolean_or("normalized", !token.special);
  return token;
}

/// added_tokens of tokenizer.json joined with added_tokens_decoder of tokenizer_config.json; the former wins.
std::vector<AddedToken> read_added_tokens(const Json& file, const std::optional<Json>& config) {
  std::map<int32_t, AddedToken> by_id;
  if (const auto list = file.find("added_tokens")) {
    size_t index = 0;
    for (const auto element : list->array()) {
      const Json item = list->item(element, index++);
      AddedToken token = read_added_token(item, item.at("id").integer());
      const auto [at, fresh] = by_id.try_emplace(token.id, token);
      check(fresh || at->second.content == token.content, "tokenizer file: two added tokens have the same id", token.id, at->second.content,
            token.content);
    }
  }
  const auto decoder = config ? config->find("added_tokens_decoder") : std::nullopt;
  if (decoder) {
    for (const auto field : decoder->object()) {
      const std::string key(field.key);
      check(!key.empty() && key.size() <= 7 && key.find_first_not_of("0123456789") == std::string::npos, "tokenizer_config: not a token id",
            key);
      AddedToken token = read_added_token(Json(field.value, decoder->path() + "." + key), std::stol(key));
      by_id.try_emplace(token.id, std::move(token));
    }
  }
  std::vector<AddedToken> tokens;
  for (auto& [id, token] : by_id) tokens.push_back(std::move(token));
  return tokens;
}

void register_added_tokens(const std::vector<AddedToken>& tokens, TokenizerParts& parts) {
  for (const AddedToken& token : tokens) {
    parts.set_token(token.id, token.content);
    const int32_t known = parts.ids.find(token.content);
    check(known < 0 || known == token.id, "tokenizer file: an added token is in the vocabulary under another id", token.content, token.id,
          known);
    parts.ids.insert(token.content, token.id);
    const auto at = static_cast<size_t>(token.id);
    parts.special[at] = token.special;
    parts.verbatim[at] = 1;
  }
}

void set_added_matchers(std::vector<AddedToken> tokens, TokenizerParts& parts) {
  std::vector<AddedToken> raw, normalized;
  for (AddedToken& token : tokens) {
    if (token.normalized) {
      // The text it is looked for in has been normalized, so it is too.
      token.content = parts.normalizer(token.content);
      normalized.push_back(std::move(token));
    } else {
      raw.push_back(std::move(token));
    }
  }
  parts.raw_added = AddedTokens(std::move(raw), MatchOrder::LeftmostLongest);
  parts.normalized_added = AddedTokens(std::move(normalized), MatchOrder::LeftmostLongest);
}

/// bos_token and its kin: a string, an AddedToken object, or null.
std::optional<int32_t> named_token(const std::optional<Json>& config, const char* key, const TokenizerParts& parts) {
  const auto value = config ? config->find(key) : std::nullopt;
  if (!value) return std::nullopt;
  const int32_t id = parts.ids.find(value->is_object() ? value->at("content").string() : value->string());
  return id < 0 ? std::nullopt : std::optional<int32_t>(id);
}

/// The Llama and Gemma classes build their post-processor from add_bos_token and add_eos_token.
void apply_bos_eos_flags(const std::optional<Json>& config, TokenizerParts& parts) {
  if (!config || (!config->find("add_bos_token") && !config->find("add_eos_token"))) return;
  const std::string_view name = config->string_or("tokenizer_class", "");
  constexpr std::string_view classes[] = {"LlamaTokenizer",         "LlamaTokenizerFast", "CodeLlamaTokenizer",
                                          "CodeLlamaTokenizerFast", "GemmaTokenizer",     "GemmaTokenizerFast"};
  if (std::find(std::begin(classes), std::end(classes), name) == std::end(classes)) return;
  Template flags;
  if (config->boolean_or("add_bos_token", true) && parts.bos) flags.before.push_back(*parts.bos);
  if (config->boolean_or("add_eos_token", false) && parts.eos) flags.after.push_back(*parts.eos);
  parts.templates = {std::move(flags)};
}

TokenSpelling spelling_of(const std::vector<DecoderStep>& decoder, bool byte_level) {
  TokenSpelling spelling = byte_level ? TokenSpelling::ByteAlphabet : TokenSpelling::Plain;
  for (const DecoderStep& step : decoder) {
    if (std::holds_alternative<ByteLevelDecoder>(step)) return TokenSpelling::ByteAlphabet;
    std::string mark;
    if (const auto* replace = std::get_if<ReplaceDecoder>(&step); replace && replace->content == " ") {
      if (replace->pattern.replace(metaspace_mark, replace->content, mark)) spelling = TokenSpelling::SpaceMarks;
    }
    if (std::holds_alternative<MetaspaceDecoder>(step)) spelling = TokenSpelling::SpaceMarks;
  }
  return spelling;
}

}  // namespace

Tokenizer Tokenizer::from_json(std::string_view tokenizer_json, std::string_view tokenizer_config_json) {
  simdjson::dom::parser parser, config_parser;
  const simdjson::padded_string text(tokenizer_json), config_text(tokenizer_config_json);
  const Json file = parse(parser, text, "tokenizer.json");
  std::optional<Json> config;
  if (!tokenizer_config_json.empty()) config = parse(config_parser, config_text, "tokenizer_config.json");

  auto parts = std::make_shared<TokenizerParts>();
  const Json model = file.at("model");
  load_vocabulary(model, *parts);
  std::vector<AddedToken> added = read_added_tokens(file, config);
  register_added_tokens(added, *parts);
  if (const auto json = file.find("normalizer")) parts->normalizer = Normalizer(load_normalizer(*json));
  set_added_matchers(std::move(added), *parts);
  if (const auto json = file.find("pre_tokenizer")) parts->pre_tokenizer = PreTokenizer(load_pre_tokenizer(*json));
  const bool byte_level = parts->pre_tokenizer.byte_level() && model_type(model) == "BPE";
  check(byte_level || !parts->pre_tokenizer.byte_level(), "tokenizer file: a ByteLevel pre-tokenizer goes with a BPE model, not with",
        model_type(model));
  load_model(model, byte_level, *parts);
  if (const auto json = file.find("post_processor")) parts->templates = load_post_processor(*json, *parts);
  if (const auto json = file.find("decoder")) {
    parts->decoder = load_decoder(*json);
  } else {
    parts->decoder = {JoinDecoder{}};
  }
  parts->spelling = spelling_of(parts->decoder, byte_level);
  parts->bos = named_token(config, "bos_token", *parts);
  parts->eos = named_token(config, "eos_token", *parts);
  parts->pad = named_token(config, "pad_token", *parts);
  if (!parts->unk) parts->unk = named_token(config, "unk_token", *parts);
  if (parts->eos) parts->end_of_generation = {*parts->eos};
  apply_bos_eos_flags(config, *parts);
  return Tokenizer(std::move(parts));
}

}  // namespace infernum
