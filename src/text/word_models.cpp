// WordPiece and WordLevel.
#include "text/word_models.h"

#include "core/check.h"
#include "text/unicode.h"

namespace infernum::text {

namespace {
constexpr size_t longest_token = 1024;
}

WordPiece::WordPiece(const TokenList& tokens, WordPieceConfig config) : config_(std::move(config)) {
  check(config_.unk_id >= 0, "WordPiece: no unknown token");
  const std::string& prefix = config_.continuing_subword_prefix;
  std::vector<std::pair<std::string_view, int32_t>> first, rest;
  for (size_t id = 0; id < tokens.texts.size(); ++id) {
    const std::string_view text = tokens.texts[id];
    if (text.empty() || !tokens.matchable[id]) continue;
    check(text.size() <= longest_token, "WordPiece: token longer than 1024 bytes", id, text.size());
    first.emplace_back(text, static_cast<int32_t>(id));
    if (text.substr(0, prefix.size()) == prefix) rest.emplace_back(text.substr(prefix.size()), static_cast<int32_t>(id));
  }
  first_ = Trie(std::move(first));
  rest_ = Trie(std::move(rest));
}

void WordPiece::encode(std::string_view piece, std::vector<int32_t>& out) const {
  if (count_code_points(piece) > config_.max_input_chars_per_word) return out.push_back(config_.unk_id);
  std::string prefixed;
  if (!config_.word_prefix.empty()) piece = prefixed = config_.word_prefix + std::string(piece);
  const size_t before = out.size();
  for (size_t at = 0; at < piece.size();) {
    Trie::Match match;
    (at == 0 ? first_ : rest_).prefixes(piece.substr(at), [&](size_t length, int32_t id) {
      if (at + length == piece.size() || !is_continuation(piece[at + length])) match = {length, id};
    });
    if (match.length == 0) {
      out.resize(before);
      return out.push_back(config_.unk_id);
    }
    out.push_back(match.value);
    at += match.length;
  }
}

WordLevel::WordLevel(const TokenList& tokens, int32_t unk_id) : unk_id_(unk_id) {
  words_.reserve(tokens.texts.size());
  for (size_t id = 0; id < tokens.texts.size(); ++id)
    if (!tokens.texts[id].empty() && tokens.matchable[id]) words_.insert(tokens.texts[id], static_cast<int32_t>(id), true);
}

void WordLevel::encode(std::string_view piece, std::vector<int32_t>& out) const {
  const int32_t id = words_.find(piece);
  check(id >= 0 || unk_id_ >= 0, "WordLevel: unknown word and no unknown token", piece.substr(0, 64));
  out.push_back(id >= 0 ? id : unk_id_);
}

}  // namespace infernum::text
