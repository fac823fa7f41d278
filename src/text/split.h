// Cutting a text at the matches of a pattern.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/regex.h"
#include "text/scanners.h"

namespace infernum::text {

/// A byte range of a working text. Texts are limited to 2 GiB.
struct Piece {
  uint32_t begin, end;
};

enum class SplitBehavior { Isolated, Removed, MergedWithPrevious, MergedWithNext, Contiguous };

/// A run of the text: a match or the gap between two.
struct Segment {
  uint32_t begin, end;
  bool is_match;
};

/// A literal, a known regex (own code) or any other regex (PCRE2).
class Pattern {
 public:
  static Pattern literal(std::string text);
  static Pattern regex(std::string_view text);
  /// The own code of a known regex, or null.
  Scanner scanner() const { return std::holds_alternative<Scanner>(kind_) ? std::get<Scanner>(kind_) : nullptr; }
  /// Appends segments that cover text[piece], in order, none empty.
  void segments(std::string_view text, Piece piece, std::vector<Segment>& out) const;
  /// The same for many pieces of one text.
  class Finder {
   public:
    explicit Finder(const Pattern& pattern);
    void segments(std::string_view text, Piece piece, std::vector<Segment>& out);

   private:
    const Pattern& pattern_;
    std::optional<RegexMatcher> matcher_;
    std::vector<Span> found_;
  };
  /// Replaces every match by `content`. False when nothing matched.
  bool replace(std::string_view text, std::string_view content, std::string& out) const;

 private:
  std::variant<std::string, Scanner, std::shared_ptr<const Regex>> kind_;
};

/// The pieces that a behaviour makes of segments; `invert` exchanges matches and gaps.
void append_pieces(const std::vector<Segment>& segments, SplitBehavior behavior, bool invert, std::vector<Piece>& out);

/// Segments by a class of characters: every one its own match, or one match per run.
template <class IsMatch>
void segments_by_character(std::string_view text, Piece piece, IsMatch&& is_match, std::vector<Segment>& out) {
  uint32_t gap = piece.begin;
  for (uint32_t at = piece.begin; at < piece.end;) {
    const CodePoint c = decode_utf8(text.data() + at);
    if (is_match(c.value)) {
      if (gap < at) out.push_back({gap, at, false});
      out.push_back({at, at + c.bytes, true});
      gap = at + c.bytes;
    }
    at += c.bytes;
  }
  if (gap < piece.end) out.push_back({gap, piece.end, false});
}

}  // namespace infernum::text
