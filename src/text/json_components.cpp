// Reading of the four component sections; a type that is not known is refused by name.
#include "text/json_components.h"

namespace infernum::text {
namespace {

constexpr int max_nesting = 32;

/// Calls load(component) for a component, or for every one inside of a Sequence, depth first.
template <class Load>
void each_component(const Json& json, std::string_view list_key, Load&& load, int depth = 0) {
  check(depth <= max_nesting, "tokenizer file: Sequence nested deeper than 32", json.path());
  if (component_type(json) != "Sequence") return load(json);
  const Json list = json.at(list_key);
  size_t index = 0;
  for (const auto element : list.array()) each_component(list.item(element, index++), list_key, load, depth + 1);
}

[[noreturn]] void refuse(const Json& json) { fail("tokenizer file: unknown component type", component_type(json), "at", json.path()); }

Pattern load_pattern(const Json& json) {
  if (json.is_string()) return Pattern::literal(std::string(json.string()));
  if (const auto text = json.find("String")) return Pattern::literal(std::string(text->string()));
  return Pattern::regex(json.at("Regex").string());
}

SplitBehavior load_behavior(const Json& json) {
  const std::string_view name = json.string();
  if (name == "Isolated") return SplitBehavior::Isolated;
  if (name == "Removed") return SplitBehavior::Removed;
  if (name == "MergedWithPrevious") return SplitBehavior::MergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::MergedWithNext;
  if (name == "Contiguous") return SplitBehavior::Contiguous;
  fail("tokenizer file: unknown split behavior", name, "at", json.path());
}

/// Text that a step puts in, any number of times.
std::string inserted_text(const Json& json) {
  constexpr size_t max_inserted_bytes = 256;
  check(json.string().size() <= max_inserted_bytes, "tokenizer file: longer than 256 bytes", json.path(), json.string().size());
  return std::string(json.string());
}

/// A string that must be one character.
std::string_view one_character(const Json& json) {
  const std::string_view text = json.string();
  check(count_code_points(text) == 1, "tokenizer file: expected one character at", json.path(), text);
  return text;
}

MetaspaceStep::Prepend load_prepend_scheme(const Json& json) {
  const auto scheme = json.find("prepend_scheme");
  if (!scheme) return json.boolean_or("add_prefix_space", true) ? MetaspaceStep::Always : MetaspaceStep::Never;
  const std::string_view name = scheme->string();
  if (name == "always") return MetaspaceStep::Always;
  if (name == "first") return MetaspaceStep::First;
  if (name == "never") return MetaspaceStep::Never;
  fail("tokenizer file: unknown prepend_scheme", name, "at", scheme->path());
}

std::string metaspace_of(const Json& json) {
  const auto replacement = json.find("replacement");
  return std::string(replacement ? one_character(*replacement) : metaspace_mark);
}

NormalizerStep normalizer_step(const Json& json) {
  const std::string_view type = component_type(json);
  if (type == "NFC") return UnicodeNormalizer{NormalForm::NFC};
  if (type == "NFD") return UnicodeNormalizer{NormalForm::NFD};
  if (type == "NFKC") return UnicodeNormalizer{NormalForm::NFKC};
  if (type == "NFKD") return UnicodeNormalizer{NormalForm::NFKD};
  if (type == "Lowercase") return LowercaseNormalizer{};
  if (type == "Strip") return StripNormalizer{json.boolean_or("strip_left", true), json.boolean_or("strip_right", true)};
  if (type == "StripAccents") return StripAccentsNormalizer{};
  if (type == "Prepend") return PrependNormalizer{inserted_text(json.at("prepend"))};
  if (type == "Replace") return ReplaceNormalizer{load_pattern(json.at("pattern")), inserted_text(json.at("content"))};
  if (type == "ByteLevel") return ByteLevelNormalizer{};
  if (type == "Nmt") return NmtNormalizer{};
  if (type == "BertNormalizer") {
    const bool lowercase = json.boolean_or("lowercase", true);
    return BertNormalizer{json.boolean_or("clean_text", true), json.boolean_or("handle_chinese_chars", true),
                          json.boolean_or("strip_accents", lowercase), lowercase};
  }
  if (type == "Precompiled")
    return PrecompiledNormalizer{std::make_shared<Charsmap>(decode_base64(json.at("precompiled_charsmap").string()))};
  refuse(json);
}

PreTokenizerStep pre_tokenizer_step(const Json& json) {
  const std::string_view type = component_type(json);
  if (type == "ByteLevel") return ByteLevelStep{json.boolean_or("add_prefix_space", true), json.boolean_or("use_regex", true)};
  if (type == "Split")
    return SplitStep{load_pattern(json.at("pattern")), load_behavior(json.at("behavior")), json.boolean_or("invert", false)};
  if (type == "Digits") return DigitsStep{json.boolean_or("individual_digits", false)};
  if (type == "Punctuation") {
    const auto behavior = json.find("behavior");
    return PunctuationStep{behavior ? load_behavior(*behavior) : SplitBehavior::Isolated};
  }
  if (type == "Whitespace") return WhitespaceStep{};
  if (type == "WhitespaceSplit") return WhitespaceSplitStep{};
  if (type == "CharDelimiterSplit") return DelimiterStep{decode_utf8(one_character(json.at("delimiter")).data()).value};
  if (type == "BertPreTokenizer") return BertStep{};
  if (type == "FixedLength") {
    const size_t length = json.find("length") ? json.count("length") : 5;
    check(length > 0, "tokenizer file: FixedLength of zero at", json.path());
    return FixedLengthStep{length};
  }
  if (type == "Metaspace") return MetaspaceStep{metaspace_of(json), load_prepend_scheme(json), json.boolean_or("split", true)};
  refuse(json);
}

DecoderStep decoder_step(const Json& json) {
  const std::string_view type = component_type(json);
  if (type == "ByteLevel") return ByteLevelDecoder{};
  if (type == "ByteFallback") return ByteFallbackDecoder{};
  if (type == "Fuse") return FuseDecoder{};
  if (type == "Strip") return StripDecoder{std::string(one_character(json.at("content"))), json.count("start"), json.count("stop")};
  if (type == "Replace") return ReplaceDecoder{load_pattern(json.at("pattern")), inserted_text(json.at("content"))};
  if (type == "Metaspace") return MetaspaceDecoder{metaspace_of(json), load_prepend_scheme(json) != MetaspaceStep::Never};
  if (type == "WordPiece") return WordPieceDecoder{std::string(json.string_or("prefix", "##")), json.boolean_or("cleanup", true), {}};
  if (type == "BPEDecoder") return BpeDecoder{std::string(json.string_or("suffix", "</w>"))};
  refuse(json);
}

int32_t known_id(int64_t id, const TokenizerParts& parts, const Json& at) {
  check(id >= 0 && id < static_cast<int64_t>(parts.tokens.size()), "tokenizer file: token id outside of the vocabulary", id, "at",
        at.path());
  check(!parts.tokens[static_cast<size_t>(id)].empty(), "tokenizer file: no token has this id", id, "at", at.path());
  return static_cast<int32_t>(id);
}

Template load_template(const Json& json, const TokenizerParts& parts) {
  Template result;
  const Json single = json.at("single");
  const auto specials = json.find("special_tokens");
  int sequences = 0;
  size_t index = 0;
  for (const auto element : single.array()) {
    const Json item = single.item(element, index++);
    if (item.find("Sequence")) {
      ++sequences;
      continue;
    }
    const std::string_view name = item.at("SpecialToken").at("id").string();
    check(specials.has_value(), "tokenizer file: template without special_tokens at", json.path());
    const Json ids = specials->at(name).at("ids");
    size_t i = 0;
    for (const auto id : ids.array())
      (sequences == 0 ? result.before : result.after).push_back(known_id(ids.item(id, i++).integer(), parts, ids));
  }
  check(sequences == 1, "tokenizer file: a single template holds its sequence once, at", single.path(), sequences);
  return result;
}

/// [token, id] of BertProcessing and RobertaProcessing.
int32_t token_pair_id(const Json& json, const TokenizerParts& parts) {
  size_t index = 0;
  int64_t id = -1;
  for (const auto element : json.array())
    if (index++ == 1) id = json.item(element, 1).integer();
  return known_id(id, parts, json);
}

}  // namespace

std::string_view component_type(const Json& json) { return json.at("type").string(); }

std::vector<NormalizerStep> load_normalizer(const Json& json) {
  std::vector<NormalizerStep> steps;
  each_component(json, "normalizers", [&](const Json& j) { steps.push_back(normalizer_step(j)); });
  return steps;
}

std::vector<PreTokenizerStep> load_pre_tokenizer(const Json& json) {
  std::vector<PreTokenizerStep> steps;
  each_component(json, "pretokenizers", [&](const Json& j) { steps.push_back(pre_tokenizer_step(j)); });
  return steps;
}

std::vector<DecoderStep> load_decoder(const Json& json) {
  std::vector<DecoderStep> steps;
  each_component(json, "decoders", [&](const Json& j) { steps.push_back(decoder_step(j)); });
  return steps;
}

std::vector<Template> load_post_processor(const Json& json, const TokenizerParts& parts) {
  std::vector<Template> templates;
  each_component(json, "processors", [&](const Json& j) {
    const std::string_view type = component_type(j);
    if (type == "ByteLevel") return;  // changes offsets only
    if (type == "TemplateProcessing") {
      templates.push_back(load_template(j, parts));
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
      templates.push_back({{token_pair_id(j.at("cls"), parts)}, {token_pair_id(j.at("sep"), parts)}});
    } else {
      refuse(j);
    }
  });
  return templates;
}

}  // namespace infernum::text
