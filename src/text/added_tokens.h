// Added tokens: texts that are cut out of the input before anything else and become one token each.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/token_map.h"
#include "text/trie.h"

namespace infernum::text {

struct AddedToken {
  int32_t id = -1;
  std::string content;
  bool single_word = false, lstrip = false, rstrip = false, normalized = false, special = false;
};

/// A range of the text: a token, or text between tokens (id -1).
struct Fragment {
  uint32_t begin, end;
  int32_t id;
};

/// How overlapping candidates are settled.
enum class MatchOrder {
  LeftmostLongest,  // tokenizer.json
  LongestFirst,     // llama.cpp: the longest token is cut out of the whole text, then the next
};

class AddedTokens {
 public:
  AddedTokens() = default;
  /// Contents are at most 1024 bytes, which bounds the work per character.
  AddedTokens(std::vector<AddedToken> tokens, MatchOrder order);
  bool empty() const { return tokens_.empty(); }
  /// Appends fragments that cover the text. Special tokens are found only with `parse_special` and only where every byte of `trust` is not
  /// '\0' (empty: all trusted).
  void split(std::string_view text, std::string_view trust, bool parse_special, std::vector<Fragment>& out) const;

 private:
  bool allowed(const AddedToken& token, size_t begin, std::string_view trust, bool parse_special) const;
  void leftmost_longest(std::string_view text, std::string_view trust, bool parse_special, std::vector<Fragment>& out) const;
  void longest_first(std::string_view text, std::string_view trust, bool parse_special, std::vector<Fragment>& out) const;

  std::vector<AddedToken> tokens_;
  Trie trie_;  // content -> index into tokens_
  MatchOrder order_ = MatchOrder::LeftmostLongest;
  std::array<bool, 256> starts_{};
};

}  // namespace infernum::text
