// Matching of added tokens.
#include "text/added_tokens.h"

#include <algorithm>
#include <set>

#include "core/check.h"
#include "text/unicode.h"

namespace infernum::text {
namespace {

constexpr size_t longest_content = 1024;

bool is_class(std::string_view text, size_t at, uint16_t bits) { return CharTable::get()[decode_utf8(text.data() + at).value] & bits; }

size_t previous_character(std::string_view text, size_t at) {
  do --at;
  while (at > 0 && is_continuation(text[at]));
  return at;
}

bool is_single_word(std::string_view text, size_t begin, size_t end) {
  return (begin == 0 || !is_class(text, previous_character(text, begin), Word)) && (end == text.size() || !is_class(text, end, Word));
}

/// Start of the run of spaces that ends at `at`, not before `least`.
size_t spaces_before(std::string_view text, size_t at, size_t least) {
  while (at > least) {
    const size_t previous = previous_character(text, at);
    if (previous < least || !is_class(text, previous, Space)) break;
    at = previous;
  }
  return at;
}

size_t spaces_after(std::string_view text, size_t at, size_t most) {
  while (at < most && is_class(text, at, Space)) at += utf8_bytes(text[at]);
  return at;
}

/// Completes non-overlapping matches, sorted by position, to fragments: strips spaces beside them, fills the gaps.
void append_fragments(std::string_view text, const std::vector<Fragment>& matches, const std::vector<AddedToken>& tokens,
                      std::vector<Fragment>& out) {
  size_t done = 0;
  for (const Fragment& m : matches) {
    if (m.begin < done) continue;  // starts inside of the spaces that the match before has swallowed
    const AddedToken& token = tokens[static_cast<size_t>(m.id)];
    const size_t begin = token.lstrip ? spaces_before(text, m.begin, done) : m.begin;
    const size_t end = token.rstrip ? spaces_after(text, m.end, text.size()) : m.end;
    if (done < begin) out.push_back({static_cast<uint32_t>(done), static_cast<uint32_t>(begin), -1});
    out.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end), token.id});
    done = end;
  }
  if (done < text.size()) out.push_back({static_cast<uint32_t>(done), static_cast<uint32_t>(text.size()), -1});
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, MatchOrder order) : tokens_(std::move(tokens)), order_(order) {
  std::vector<std::pair<std::string_view, int32_t>> keys;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const std::string& content = tokens_[i].content;
    if (content.empty()) continue;
    check(content.size() <= longest_content, "added token: longer than 1024 bytes", tokens_[i].id, content.size());
    keys.emplace_back(content, static_cast<int32_t>(i));
    starts_[static_cast<unsigned char>(content[0])] = true;
  }
  trie_ = Trie(std::move(keys));
}

bool AddedTokens::allowed(const AddedToken& token, size_t begin, std::string_view trust, bool parse_special) const {
  if (!token.special) return true;
  return parse_special && (trust.empty() || trust.substr(begin, token.content.size()).find('\0') == std::string_view::npos);
}

void AddedTokens::split(std::string_view text, std::string_view trust, bool parse_special, std::vector<Fragment>& out) const {
  if (text.empty()) return;
  if (trie_.empty()) {
    out.push_back({0, static_cast<uint32_t>(text.size()), -1});
  } else if (order_ == MatchOrder::LeftmostLongest) {
    leftmost_longest(text, trust, parse_special, out);
  } else {
    longest_first(text, trust, parse_special, out);
  }
}

void AddedTokens::leftmost_longest(std::string_view text, std::string_view trust, bool parse_special, std::vector<Fragment>& out) const {
  std::vector<Fragment> matches;
  for (size_t at = 0; at < text.size();) {
    if (!starts_[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    Trie::Match best;
    trie_.prefixes(text.substr(at), [&](size_t length, int32_t i) {
      if (allowed(tokens_[static_cast<size_t>(i)], at, trust, parse_special)) best = {length, i};
    });
    if (best.length == 0) {
      ++at;
      continue;
    }
    const size_t end = at + best.length;
    // A refused single word stays text as a whole: no shorter token is tried inside of it.
    if (!tokens_[static_cast<size_t>(best.value)].single_word || is_single_word(text, at, end))
      matches.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(end), best.value});
    at = end;
  }
  append_fragments(text, matches, tokens_, out);
}

void AddedTokens::longest_first(std::string_view text, std::string_view trust, bool parse_special, std::vector<Fragment>& out) const {
  // Places where anything matches at all are few in ordinary text; every length then looks at those only.
  std::vector<uint32_t> places;
  std::set<size_t, std::greater<>> lengths;
  for (size_t at = 0; at < text.size(); ++at) {
    if (!starts_[static_cast<unsigned char>(text[at])]) continue;
    bool any = false;
    trie_.prefixes(text.substr(at), [&](size_t length, int32_t i) {
      if (!allowed(tokens_[static_cast<size_t>(i)], at, trust, parse_special)) return;
      any = true;
      lengths.insert(length);
    });
    if (any) places.push_back(static_cast<uint32_t>(at));
  }
  std::vector<char> taken(places.empty() ? 0 : text.size(), 0);
  std::vector<Fragment> matches;
  for (const size_t wanted : lengths) {
    for (const uint32_t at : places) {
      if (at + wanted > text.size() || taken[at] || taken[at + wanted - 1]) continue;  // no taken range is shorter: its ends tell
      trie_.prefixes(text.substr(at, wanted), [&](size_t length, int32_t i) {
        if (length != wanted || !allowed(tokens_[static_cast<size_t>(i)], at, trust, parse_special)) return;
        matches.push_back({at, static_cast<uint32_t>(at + wanted), i});
        std::fill_n(taken.begin() + at, wanted, char{1});
      });
    }
  }
  std::sort(matches.begin(), matches.end(), [](const Fragment& a, const Fragment& b) { return a.begin < b.begin; });
  append_fragments(text, matches, tokens_, out);
}

}  // namespace infernum::text
