// Vocabularies, merges and scores out of the model section.
#include "text/json_model.h"

namespace infernum::text {
namespace {

/// The two sides of a merge: "a b" or ["a", "b"].
MergeRule merge_rule(simdjson::dom::element element, const Json& merges, size_t index) {
  std::string_view line;
  if (!element.get(line)) {
    const size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos || space == 0 || space + 1 == line.size())
      fail("tokenizer file: a merge is two tokens with one space between, at", merges.item(element, index).path(), line);
    return {line.substr(0, space), line.substr(space + 1)};
  }
  simdjson::dom::array pair;
  std::string_view sides[2];
  size_t count = 0;
  bool good = !element.get(pair);
  if (good)
    for (const auto side : pair) {
      std::string_view text;
      good = good && count < 2 && !side.get(text);
      if (good) sides[count] = text;
      ++count;
    }
  if (!good || count != 2) fail("tokenizer file: a merge is two strings, at", merges.item(element, index).path());
  return {sides[0], sides[1]};
}

Bpe load_bpe(const Json& model, bool byte_level, const TokenList& tokens) {
  BpeConfig config;
  config.unk_token = model.string_or("unk_token", "");
  config.continuing_subword_prefix = model.string_or("continuing_subword_prefix", "");
  config.end_of_word_suffix = model.string_or("end_of_word_suffix", "");
  config.fuse_unk = model.boolean_or("fuse_unk", false);
  config.byte_fallback = model.boolean_or("byte_fallback", false);
  config.ignore_merges = model.boolean_or("ignore_merges", false);
  config.byte_level = byte_level;
  const Json merges = model.at("merges");
  std::vector<MergeRule> rules;
  rules.reserve(merges.array().size());
  size_t index = 0;
  for (const auto element : merges.array()) {
    rules.push_back(merge_rule(element, merges, index));
    ++index;
  }
  return Bpe(tokens, rules, std::move(config));
}

Unigram load_unigram(const Json& model, const TokenList& tokens, std::optional<int32_t>& unk) {
  const Json vocab = model.at("vocab");
  std::vector<double> scores(tokens.texts.size(), 0);
  double least = 0;
  size_t id = 0;
  for (const auto element : vocab.array()) {
    scores[id] = element.at(1).get_double().value();  // load_vocabulary has looked at its type
    least = std::min(least, scores[id]);
    ++id;
  }
  // Added tokens behind the vocabulary are never matched; their score must only not lower the least one.
  std::fill(scores.begin() + static_cast<std::ptrdiff_t>(id), scores.end(), least);
  const auto unk_id = model.find("unk_id");
  const int64_t value = unk_id ? unk_id->integer() : -1;
  check(value >= -1 && value < static_cast<int64_t>(id), "Unigram: unk_id outside of the vocabulary", value, id);
  if (value >= 0) unk = static_cast<int32_t>(value);
  return Unigram(tokens, std::move(scores), static_cast<int32_t>(value), model.boolean_or("byte_fallback", false));
}

int32_t load_unk(const Json& model, const TokenList& tokens) {
  const std::string_view unk = model.string_or("unk_token", "[UNK]");
  const int32_t id = tokens.ids.find(unk);
  check(id >= 0, "tokenizer file: unk_token is not in the vocabulary", unk);
  return id;
}

}  // namespace

std::string_view model_type(const Json& model) {
  if (model.find("type")) return model.at("type").string();
  if (model.find("merges")) return "BPE";
  if (model.at("vocab").is_array()) return "Unigram";
  return model.find("continuing_subword_prefix") || model.find("max_input_chars_per_word") ? "WordPiece" : "WordLevel";
}

void load_vocabulary(const Json& model, TokenizerParts& parts) {
  const Json vocab = model.at("vocab");
  if (model_type(model) == "Unigram") {
    int64_t id = 0;
    for (const auto element : vocab.array()) {
      simdjson::dom::array row;
      std::string_view piece;
      double score = 0;
      if (element.get(row) || row.size() != 2 || row.at(0).get(piece) || row.at(1).get(score))
        fail("tokenizer file: expected [piece, score] at", vocab.item(element, static_cast<size_t>(id)).path());
      parts.set_token(id, piece);
      parts.ids.insert(piece, static_cast<int32_t>(id), true);
      ++id;
    }
    return;
  }
  const auto object = vocab.object();
  parts.tokens.reserve(std::min<size_t>(object.size(), TokenizerParts::max_vocab));
  for (const auto field : object) {
    int64_t id = 0;
    if (field.value.get(id)) fail("tokenizer file: the id of a token is not an integer", field.key, "in", vocab.path());
    parts.set_token(id, field.key);
    check(parts.ids.insert(field.key, static_cast<int32_t>(id)), "tokenizer file: a token is in the vocabulary twice", field.key, id);
  }
}

void load_model(const Json& model, bool byte_level, TokenizerParts& parts) {
  std::vector<char> matchable(parts.tokens.size());
  for (size_t i = 0; i < matchable.size(); ++i) matchable[i] = !parts.special[i];
  const TokenList tokens{parts.tokens, matchable, parts.ids};
  const std::string_view type = model_type(model);
  if (type == "BPE") {
    parts.model = load_bpe(model, byte_level, tokens);
    if (const auto unk = model.find("unk_token")) {
      if (const int32_t id = parts.ids.find(unk->string()); id >= 0) parts.unk = id;
    }
    parts.byte_tokens = model.boolean_or("byte_fallback", false);
  } else if (type == "Unigram") {
    parts.model = load_unigram(model, tokens, parts.unk);
    parts.byte_tokens = model.boolean_or("byte_fallback", false);
  } else if (type == "WordPiece") {
    WordPieceConfig config;
    config.continuing_subword_prefix = model.string_or("continuing_subword_prefix", "##");
    if (model.find("max_input_chars_per_word")) config.max_input_chars_per_word = model.count("max_input_chars_per_word");
    config.unk_id = load_unk(model, tokens);
    parts.unk = config.unk_id;
    parts.model = WordPiece(tokens, std::move(config));
  } else if (type == "WordLevel") {
    parts.unk = load_unk(model, tokens);
    parts.model = WordLevel(tokens, *parts.unk);
  } else {
    fail("tokenizer file: unknown model type", type);
  }
}

}  // namespace infernum::text
