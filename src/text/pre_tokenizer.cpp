// The pre-tokenizer steps; each acts on every piece of the one before.
#include "text/pre_tokenizer.h"

#include <algorithm>

#include "text/byte_level.h"

namespace infernum::text {
namespace {

bool is_punctuation(char32_t c) { return is_ascii_punctuation(c) || CharTable::get()[c] & Punctuation; }
bool is_space(char32_t c) { return CharTable::get()[c] & Space; }
bool is_number(char32_t c) { return CharTable::get()[c] & Number; }

/// Replaces the pieces by those that cut(piece, out) makes of each.
template <class Cut>
void cut_pieces(Pieces& p, Cut&& cut) {
  std::vector<Piece> out;
  out.reserve(p.pieces.size() * 2);
  for (const Piece& piece : p.pieces) cut(piece, out);
  if (p.at_start) p.at_start = !out.empty() && out[0].begin == p.pieces[0].begin;
  p.pieces = std::move(out);
}

/// Replaces the text of every piece by what rewrite(piece text, index, storage) appends.
template <class Rewrite>
void rewrite_pieces(Pieces& p, Rewrite&& rewrite) {
  std::string storage;
  storage.reserve(p.text.size() + p.text.size() / 4 + 16);
  for (size_t i = 0; i < p.pieces.size(); ++i) {
    Piece& piece = p.pieces[i];
    const auto begin = static_cast<uint32_t>(storage.size());
    rewrite(p.text.substr(piece.begin, piece.end - piece.begin), i, storage);
    piece = {begin, static_cast<uint32_t>(storage.size())};
  }
  p.storage = std::move(storage);
  p.text = p.storage;
}

void split_at(Pieces& p, const Pattern& pattern, SplitBehavior behavior, bool invert) {
  if (const Scanner scan = pattern.scanner(); scan && behavior == SplitBehavior::Isolated) {
    const CharTable& table = CharTable::get();
    return cut_pieces(p, [&](Piece piece, std::vector<Piece>& out) {
      const std::string_view text = p.text.substr(0, piece.end);
      uint32_t gap = piece.begin;
      // Scanners look at the piece alone: their view of the text starts at its beginning.
      const std::string_view part = text.substr(piece.begin);
      for (size_t at = 0; at < part.size();) {
        const size_t end = scan(table, part, at);
        if (end > at) {
          const auto begin = piece.begin + static_cast<uint32_t>(at);
          if (gap < begin) out.push_back({gap, begin});
          gap = piece.begin + static_cast<uint32_t>(end);
          out.push_back({begin, gap});
          at = end;
        } else {
          at += utf8_bytes(part[at]);
        }
      }
      if (gap < piece.end) out.push_back({gap, piece.end});
    });
  }
  std::vector<Segment> segments;
  Pattern::Finder finder(pattern);
  cut_pieces(p, [&](Piece piece, std::vector<Piece>& out) {
    segments.clear();
    finder.segments(p.text, piece, segments);
    append_pieces(segments, behavior, invert, out);
  });
}

template <class IsMatch>
void split_by_character(Pieces& p, IsMatch&& is_match, SplitBehavior behavior) {
  std::vector<Segment> segments;
  cut_pieces(p, [&](Piece piece, std::vector<Piece>& out) {
    segments.clear();
    segments_by_character(p.text, piece, is_match, segments);
    append_pieces(segments, behavior, false, out);
  });
}

void apply(const ByteLevelStep& step, Pieces& p) {
  if (step.add_prefix_space) {
    rewrite_pieces(p, [](std::string_view text, size_t, std::string& out) {
      if (text[0] != ' ') out += ' ';
      out += text;
    });
  }
  static const Pattern gpt2 = Pattern::regex(regexes::gpt2_regex);
  if (step.use_regex) split_at(p, gpt2, SplitBehavior::Isolated, false);
  if (step.map_bytes)
    rewrite_pieces(p, [](std::string_view text, size_t, std::string& out) { ByteAlphabet::get().append_characters(out, text); });
}

void apply(const SplitStep& step, Pieces& p) { split_at(p, step.pattern, step.behavior, step.invert); }

void apply(const DigitsStep& step, Pieces& p) {
  split_by_character(p, is_number, step.individual ? SplitBehavior::Isolated : SplitBehavior::Contiguous);
}

void apply(const PunctuationStep& step, Pieces& p) { split_by_character(p, is_punctuation, step.behavior); }

void apply(const WhitespaceStep&, Pieces& p) {
  const CharTable& table = CharTable::get();
  const auto kind = [&](char32_t c) { return table[c] & Word ? 1 : table[c] & Space ? 0 : 2; };
  cut_pieces(p, [&](Piece piece, std::vector<Piece>& out) {
    int last = 0;
    for (uint32_t at = piece.begin; at < piece.end;) {
      const CodePoint c = decode_utf8(p.text.data() + at);
      const int now = kind(c.value);
      if (now != 0 && now == last) {
        out.back().end = at + c.bytes;
      } else if (now != 0) {
        out.push_back({at, at + c.bytes});
      }
      last = now;
      at += c.bytes;
    }
  });
}

void apply(const WhitespaceSplitStep&, Pieces& p) { split_by_character(p, is_space, SplitBehavior::Removed); }

void apply(const DelimiterStep& step, Pieces& p) {
  split_by_character(
      p, [&](char32_t c) { return c == step.delimiter; }, SplitBehavior::Removed);
}

void apply(const BertStep&, Pieces& p) {
  split_by_character(p, is_space, SplitBehavior::Removed);
  split_by_character(p, is_punctuation, SplitBehavior::Isolated);
}

void apply(const FixedLengthStep& step, Pieces& p) {
  cut_pieces(p, [&](Piece piece, std::vector<Piece>& out) {
    size_t left = 0;
    for (uint32_t at = piece.begin; at < piece.end; --left) {
      const uint32_t bytes = utf8_bytes(p.text[at]);
      if (left == 0) {
        out.push_back({at, at});
        left = step.length;
      }
      out.back().end = at += bytes;
    }
  });
}

void apply(const MetaspaceStep& step, Pieces& p) {
  rewrite_pieces(p, [&](std::string_view text, size_t index, std::string& out) {
    const bool prepend = step.prepend == MetaspaceStep::Always || (step.prepend == MetaspaceStep::First && index == 0 && p.at_start);
    if (prepend && text[0] != ' ' && text.substr(0, step.replacement.size()) != step.replacement) out += step.replacement;
    for (const char c : text) c == ' ' ? out += step.replacement : out += c;
  });
  if (step.split) split_at(p, Pattern::literal(step.replacement), SplitBehavior::MergedWithNext, false);
}

bool only_splits(const PreTokenizerStep& step) {
  return !std::holds_alternative<ByteLevelStep>(step) && !std::holds_alternative<MetaspaceStep>(step);
}

}  // namespace

PreTokenizer::PreTokenizer(std::vector<PreTokenizerStep> steps) : steps_(std::move(steps)) {
  const auto mapping = std::find_if(steps_.begin(), steps_.end(), [](const auto& s) { return std::holds_alternative<ByteLevelStep>(s); });
  if (mapping == steps_.end() || !std::all_of(mapping + 1, steps_.end(), only_splits)) return;
  byte_level_ = true;
  unmap_ = mapping + 1 != steps_.end();
  std::get<ByteLevelStep>(*mapping).map_bytes = unmap_;
}

void PreTokenizer::run(Pieces& p) const {
  p.pieces.clear();
  if (p.text.empty()) return;
  p.pieces.push_back({0, static_cast<uint32_t>(p.text.size())});
  for (const PreTokenizerStep& step : steps_) std::visit([&](const auto& s) { apply(s, p); }, step);
  if (unmap_) rewrite_pieces(p, [](std::string_view text, size_t, std::string& out) { ByteAlphabet::get().append_bytes(out, text); });
}

}  // namespace infernum::text
