// Byte-pair encoding: tables, symbols of a piece, and the whole-piece shortcut.
#include "text/bpe.h"

#include "core/check.h"
#include "text/byte_level.h"
#include "text/unicode.h"

namespace infernum::text {
namespace {

std::array<int32_t, 256> find_byte_tokens(const TokenMap& ids) {
  std::array<int32_t, 256> found;
  for (int b = 0; b < 256; ++b) found[static_cast<size_t>(b)] = ids.find(byte_token(static_cast<uint8_t>(b)));
  return found;
}

/// A text that has U+2581 after something else than U+2581.
bool has_inner_metaspace(std::string_view text) {
  size_t at = 0;
  while (text.substr(at, metaspace_mark.size()) == metaspace_mark) at += metaspace_mark.size();
  return text.find(metaspace_mark, at) != std::string_view::npos;
}

/// Calls visit(chunk) for the parts between a character and the U+2581 behind it.
template <class Visit>
void metaspace_chunks(std::string_view piece, Visit&& visit) {
  size_t begin = 0, at = 0;
  while (at < piece.size()) {
    while (piece.substr(at, metaspace_mark.size()) == metaspace_mark) at += metaspace_mark.size();
    at = std::min(piece.find(metaspace_mark, at), piece.size());
    visit(piece.substr(begin, at - begin));
    begin = at;
  }
}

}  // namespace

Bpe::Bpe(const TokenList& tokens, const std::vector<MergeRule>& merges, BpeConfig config) : config_(std::move(config)) {
  texts_.reserve(tokens.texts.size());
  std::string raw;
  for (size_t id = 0; id < tokens.texts.size(); ++id) {
    const std::string& text = tokens.texts[id];
    if (text.empty() || !tokens.matchable[id]) continue;
    raw.clear();
    if (config_.byte_level && !ByteAlphabet::get().append_bytes(raw, text)) continue;
    texts_.insert(config_.byte_level ? raw : text, static_cast<int32_t>(id), true);
  }
  if (!config_.unk_token.empty()) {
    unk_id_ = tokens.ids.find(config_.unk_token);
    check(unk_id_ >= 0, "BPE: unk_token is not in the vocabulary", config_.unk_token);
  }
  fallback_bytes_ = find_byte_tokens(tokens.ids);
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    byte_symbols_[static_cast<size_t>(b)] = config_.byte_level || b < 128 ? texts_.find({&byte, 1}) : -1;
  }
  add_merges(tokens, merges);
  whole_ = std::make_unique<std::atomic<uint8_t>[]>(tokens.texts.size());
}

void Bpe::add_merges(const TokenList& tokens, const std::vector<MergeRule>& merges) {
  size_t slots = 16;
  while (slots < merges.size() * 2) slots *= 2;
  pairs_.resize(slots);
  const size_t prefix = config_.continuing_subword_prefix.size();
  bool inner_metaspace = false;
  std::string joined;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto [left, right] = merges[rank];
    check(right.substr(0, prefix) == config_.continuing_subword_prefix || prefix == 0,
          "BPE: right side of a merge lacks the continuing prefix", rank, right);
    joined.assign(left);
    joined += right.substr(prefix);
    const int32_t a = tokens.ids.find(left), b = tokens.ids.find(right), ab = tokens.ids.find(joined);
    if (a < 0 || b < 0 || ab < 0)
      fail("BPE: a merge names a token outside of the vocabulary", "merge", rank, left, right, "unknown:",
           a < 0   ? left
           : b < 0 ? right
                   : joined);
    if (!tokens.matchable[static_cast<size_t>(ab)]) continue;
    inner_metaspace |= has_inner_metaspace(joined);
    set_pair(static_cast<uint64_t>(static_cast<uint32_t>(a)) << 32 | static_cast<uint32_t>(b), {static_cast<uint32_t>(rank), ab});
  }
  cut_at_metaspace_ =
      !config_.byte_level && !inner_metaspace && texts_.find(metaspace_mark) >= 0 && prefix == 0 && config_.end_of_word_suffix.empty();
}

void Bpe::set_pair(uint64_t pair, Merge merge) {
  size_t at = slot_of(pair);
  while (pairs_[at].pair != UINT64_MAX && pairs_[at].pair != pair) at = (at + 1) & (pairs_.size() - 1);
  pairs_[at] = {pair, merge};  // of a repeated merge the last counts
}

void Bpe::encode(std::string_view piece, std::vector<int32_t>& out) const {
  if (!cut_at_metaspace_) return encode_chunk(piece, out);
  if (config_.ignore_merges) {
    if (const int32_t id = texts_.find(piece); id >= 0) return out.push_back(id);
  }
  metaspace_chunks(piece, [&](std::string_view chunk) { encode_chunk(chunk, out); });
}

void Bpe::encode_chunk(std::string_view piece, std::vector<int32_t>& out) const {
  // A piece that is a token: under ignore_merges that is the answer; otherwise whether merging agrees is found out once per token.
  const bool plain = config_.continuing_subword_prefix.empty() && config_.end_of_word_suffix.empty();
  const bool take_whole = config_.ignore_merges && !cut_at_metaspace_;
  const int32_t id = (plain || take_whole) && piece.size() <= texts_.longest() ? texts_.find(piece) : -1;
  if (id >= 0 && (take_whole || whole_[static_cast<size_t>(id)].load(std::memory_order_relaxed) == 1)) return out.push_back(id);
  SymbolList symbols;
  add_symbols(piece, symbols);
  symbols.merge([this](const MergeSymbol& a, const MergeSymbol& b) { return find(a.id, b.id); });
  for (const MergeSymbol& s : symbols) out.push_back(s.id);
  if (id >= 0) {
    const bool whole = symbols.end() - symbols.begin() == 1 && symbols.begin()->id == id;
    whole_[static_cast<size_t>(id)].store(whole ? 1 : 2, std::memory_order_relaxed);
  }
}

void Bpe::add_symbols(std::string_view piece, SymbolList& symbols) const {
  int32_t unknown_run = 0;
  std::string buffer;
  for (uint32_t at = 0; at < piece.size();) {
    const auto lead = static_cast<unsigned char>(piece[at]);
    const uint32_t bytes = config_.byte_level ? 1 : utf8_bytes(piece[at]);
    const uint32_t end = at + bytes;
    std::string_view text = piece.substr(at, bytes);
    int32_t id = -1;
    const bool prefixed = at > 0 && !config_.continuing_subword_prefix.empty(),
               suffixed = end == piece.size() && !config_.end_of_word_suffix.empty();
    if (prefixed || suffixed) {
      buffer = prefixed ? config_.continuing_subword_prefix : "";
      config_.byte_level ? ByteAlphabet::get().append_characters(buffer, text) : void(buffer += text);
      if (suffixed) buffer += config_.end_of_word_suffix;
      std::string raw;
      id = config_.byte_level && ByteAlphabet::get().append_bytes(raw, buffer) ? texts_.find(raw) : texts_.find(buffer);
      text = buffer;
    } else {
      id = bytes == 1 ? byte_symbols_[lead] : texts_.find(text);
      if (id < 0 && config_.byte_level) {
        buffer.clear();
        ByteAlphabet::get().append_characters(buffer, text);
        text = buffer;
      }
    }
    if (id >= 0) {
      symbols.add({id, at, end});
      unknown_run = 0;
    } else {
      add_unknown(text, at, end, unknown_run, symbols);
    }
    at = end;
  }
}

/// A character outside of the vocabulary: its bytes, else unk (once per run if fused), else nothing.
void Bpe::add_unknown(std::string_view character, uint32_t begin, uint32_t end, int32_t& run, SymbolList& symbols) const {
  bool all_bytes = config_.byte_fallback;
  for (const char b : character) all_bytes = all_bytes && fallback_bytes_[static_cast<unsigned char>(b)] >= 0;
  if (all_bytes) {
    for (const char b : character) symbols.add({fallback_bytes_[static_cast<unsigned char>(b)], begin, end});
    run = 0;
  } else if (unk_id_ >= 0 && (run == 0 || !config_.fuse_unk)) {
    symbols.add({unk_id_, begin, end});
    run = 1;
  }
}

ScoredBpe::ScoredBpe(const TokenList& tokens, const std::vector<float>& scores, int32_t unk_id) : ranks_(scores.size()), unk_id_(unk_id) {
  check(scores.size() == tokens.texts.size(), "llama vocabulary: scores and tokens differ in number", scores.size(), tokens.texts.size());
  texts_.reserve(tokens.texts.size());
  bool inner_metaspace = false;
  for (size_t id = 0; id < tokens.texts.size(); ++id) {
    check(scores[id] == scores[id], "llama vocabulary: score is not a number, token", id);
    if (tokens.texts[id].empty() || !tokens.matchable[id]) continue;
    texts_.insert(tokens.texts[id], static_cast<int32_t>(id), true);
    inner_metaspace |= has_inner_metaspace(tokens.texts[id]);
  }
  std::vector<float> order(scores);
  std::sort(order.begin(), order.end(), std::greater<>());
  order.erase(std::unique(order.begin(), order.end()), order.end());
  for (size_t id = 0; id < scores.size(); ++id)
    ranks_[id] = static_cast<uint32_t>(std::lower_bound(order.begin(), order.end(), scores[id], std::greater<>()) - order.begin());
  fallback_bytes_ = find_byte_tokens(tokens.ids);
  cut_at_metaspace_ = !inner_metaspace;
}

void ScoredBpe::encode(std::string_view piece, std::vector<int32_t>& out) const {
  if (!cut_at_metaspace_) return encode_chunk(piece, out);
  metaspace_chunks(piece, [&](std::string_view chunk) { encode_chunk(chunk, out); });
}

void ScoredBpe::encode_chunk(std::string_view piece, std::vector<int32_t>& out) const {
  SymbolList symbols;
  for (uint32_t at = 0; at < piece.size();) {
    const uint32_t end = at + utf8_bytes(piece[at]);
    symbols.add({texts_.find(piece.substr(at, end - at)), at, end});
    at = end;
  }
  symbols.merge([&](const MergeSymbol& a, const MergeSymbol& b) {
    if (b.end - a.begin > texts_.longest()) return Merge{};
    const int32_t id = texts_.find(piece.substr(a.begin, b.end - a.begin));
    return id < 0 ? Merge{} : Merge{ranks_[static_cast<size_t>(id)], id};
  });
  for (const MergeSymbol& s : symbols) {
    if (s.id >= 0) {
      out.push_back(s.id);
      continue;
    }
    for (uint32_t i = s.begin; i < s.end; ++i) {
      const int32_t byte = fallback_bytes_[static_cast<unsigned char>(piece[i])];
      if (byte >= 0) {
        out.push_back(byte);
      } else if (unk_id_ >= 0) {
        out.push_back(unk_id_);
      }
    }
  }
}

}  // namespace infernum::text
