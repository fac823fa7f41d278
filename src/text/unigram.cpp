// Viterbi over character positions, as Hugging Face and SentencePiece break ties: a later candidate wins only when strictly better.
#include "text/unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "text/byte_level.h"
#include "text/unicode.h"

namespace infernum::text {

namespace {
constexpr size_t longest_piece = 1024;
constexpr double unk_penalty = 10;
struct Step {
  double score = -std::numeric_limits<double>::infinity();
  uint32_t from = 0;
  int32_t id = -2;  // -2: not reached, -1: unknown
};
}  // namespace

Unigram::Unigram(const TokenList& tokens, std::vector<double> scores, int32_t unk_id, bool byte_fallback)
    : scores_(std::move(scores)), unk_id_(unk_id), byte_fallback_(byte_fallback) {
  check(scores_.size() == tokens.texts.size(), "Unigram: scores and tokens differ in number", scores_.size(), tokens.texts.size());
  check(unk_id < static_cast<int32_t>(tokens.texts.size()), "Unigram: unk_id outside of the vocabulary", unk_id, tokens.texts.size());
  std::vector<std::pair<std::string_view, int32_t>> keys;
  double least = scores_.empty() ? 0 : std::numeric_limits<double>::infinity();
  for (size_t id = 0; id < tokens.texts.size(); ++id) {
    check(std::isfinite(scores_[id]), "Unigram: score is not a finite number, piece", id);
    least = std::min(least, scores_[id]);
    if (!tokens.matchable[id] || tokens.texts[id].empty()) continue;
    check(tokens.texts[id].size() <= longest_piece, "Unigram: piece longer than 1024 bytes", id, tokens.texts[id].size());
    keys.emplace_back(tokens.texts[id], static_cast<int32_t>(id));
  }
  trie_ = Trie(std::move(keys));
  unk_score_ = least - unk_penalty;
  for (int b = 0; b < 256; ++b) bytes_[static_cast<size_t>(b)] = tokens.ids.find(byte_token(static_cast<uint8_t>(b)));
}

void Unigram::encode(std::string_view piece, std::vector<int32_t>& out) const {
  std::vector<Step> steps(piece.size() + 1);
  steps[0].score = 0;
  for (size_t at = 0; at < piece.size();) {
    const uint32_t one = utf8_bytes(piece[at]);
    const double here = steps[at].score;
    const auto offer = [&](size_t length, double score, int32_t id) {
      Step& to = steps[at + length];
      if (to.id == -2 || here + score > to.score) to = {here + score, static_cast<uint32_t>(at), id};
    };
    bool single = false;
    trie_.prefixes(piece.substr(at), [&](size_t length, int32_t id) {
      offer(length, scores_[static_cast<size_t>(id)], id);
      single |= length == one;
    });
    if (!single) offer(one, unk_score_, -1);
    at += one;
  }
  // Walk back, then emit forwards; neighbouring unknowns are one.
  std::vector<std::pair<uint32_t, int32_t>> path;  // (start, id)
  for (size_t at = piece.size(); at > 0; at = steps[at].from) path.emplace_back(steps[at].from, steps[at].id);
  for (size_t i = path.size(); i-- > 0;) {
    if (path[i].second >= 0) {
      out.push_back(path[i].second);
      continue;
    }
    const size_t begin = path[i].first;
    while (i > 0 && path[i - 1].second < 0) --i;
    append_unknown(piece.substr(begin, (i > 0 ? path[i - 1].first : piece.size()) - begin), out);
  }
}

void Unigram::append_unknown(std::string_view text, std::vector<int32_t>& out) const {
  const bool as_bytes =
      byte_fallback_ && std::all_of(text.begin(), text.end(), [&](char b) { return bytes_[static_cast<unsigned char>(b)] >= 0; });
  if (!as_bytes) {
    check(unk_id_ >= 0, "Unigram: text needs an unknown token and the model has none", text.substr(0, 64));
    return out.push_back(unk_id_);
  }
  for (const char b : text) out.push_back(bytes_[static_cast<unsigned char>(b)]);
}

}  // namespace infernum::text
