// Patterns and the five splitting behaviours.
#include "text/split.h"

#include <algorithm>

namespace infernum::text {
namespace {

void find_literal(std::string_view text, const std::string& literal, std::vector<Span>& out) {
  if (literal.empty()) return;
  for (size_t at = text.find(literal); at != std::string_view::npos; at = text.find(literal, at + literal.size()))
    out.push_back({at, at + literal.size()});
}

void find_scanned(std::string_view text, Scanner scan, std::vector<Span>& out) {
  const CharTable& table = CharTable::get();
  for (size_t at = 0; at < text.size();) {
    const size_t end = scan(table, text, at);
    if (end > at) out.push_back({at, end});
    at = end > at ? end : at + utf8_bytes(text[at]);
  }
}

/// Merged...: a match is glued to the neighbour before it unless that is a match too.
void merge_with_previous(const std::vector<Segment>& segments, bool invert, std::vector<Piece>& out) {
  const size_t first = out.size();
  bool previous = false;
  for (const Segment& s : segments) {
    const bool match = s.is_match != invert;
    if (match && !previous && out.size() > first) {
      out.back().end = s.end;
    } else {
      out.push_back({s.begin, s.end});
    }
    previous = match;
  }
}

void merge_with_next(const std::vector<Segment>& segments, bool invert, std::vector<Piece>& out) {
  const size_t first = out.size();
  bool previous = false;
  for (auto s = segments.rbegin(); s != segments.rend(); ++s) {
    const bool match = s->is_match != invert;
    if (match && !previous && out.size() > first) {
      out.back().begin = s->begin;
    } else {
      out.push_back({s->begin, s->end});
    }
    previous = match;
  }
  std::reverse(out.begin() + static_cast<std::ptrdiff_t>(first), out.end());
}

}  // namespace

Pattern Pattern::literal(std::string text) {
  Pattern p;
  p.kind_ = std::move(text);
  return p;
}

Pattern Pattern::regex(std::string_view text) {
  Pattern p;
  if (const Scanner scanner = known_scanner(text)) {
    p.kind_ = scanner;
  } else {
    p.kind_ = std::make_shared<const Regex>(text);
  }
  return p;
}

Pattern::Finder::Finder(const Pattern& pattern) : pattern_(pattern) {
  if (const auto* regex = std::get_if<std::shared_ptr<const Regex>>(&pattern.kind_)) matcher_.emplace(**regex);
}

void Pattern::segments(std::string_view text, Piece piece, std::vector<Segment>& out) const { Finder(*this).segments(text, piece, out); }

void Pattern::Finder::segments(std::string_view text, Piece piece, std::vector<Segment>& out) {
  const std::string_view part = text.substr(piece.begin, piece.end - piece.begin);
  found_.clear();
  if (matcher_) {
    matcher_->find_all(part, found_);
  } else if (const auto* literal = std::get_if<std::string>(&pattern_.kind_)) {
    find_literal(part, *literal, found_);
  } else {
    find_scanned(part, std::get<Scanner>(pattern_.kind_), found_);
  }
  uint32_t gap = piece.begin;
  for (const Span& span : found_) {
    const auto begin = piece.begin + static_cast<uint32_t>(span.begin), end = piece.begin + static_cast<uint32_t>(span.end);
    if (gap < begin) out.push_back({gap, begin, false});
    out.push_back({begin, end, true});
    gap = end;
  }
  if (gap < piece.end) out.push_back({gap, piece.end, false});
}

bool Pattern::replace(std::string_view text, std::string_view content, std::string& out) const {
  std::vector<Segment> parts;
  segments(text, {0, static_cast<uint32_t>(text.size())}, parts);
  bool any = false;
  for (const Segment& s : parts) {
    out += s.is_match ? content : text.substr(s.begin, s.end - s.begin);
    any |= s.is_match;
  }
  return any;
}

void append_pieces(const std::vector<Segment>& segments, SplitBehavior behavior, bool invert, std::vector<Piece>& out) {
  switch (behavior) {
    case SplitBehavior::Isolated:
      for (const Segment& s : segments) out.push_back({s.begin, s.end});
      return;
    case SplitBehavior::Removed:
      for (const Segment& s : segments)
        if (s.is_match == invert) out.push_back({s.begin, s.end});
      return;
    case SplitBehavior::MergedWithPrevious: merge_with_previous(segments, invert, out); return;
    case SplitBehavior::MergedWithNext: merge_with_next(segments, invert, out); return;
    case SplitBehavior::Contiguous:
      for (size_t i = 0; i < segments.size(); ++i) {
        if (i > 0 && segments[i].is_match == segments[i - 1].is_match) {
          out.back().end = segments[i].end;
        } else {
          out.push_back({segments[i].begin, segments[i].end});
        }
      }
      return;
  }
}

}  // namespace infernum::text
