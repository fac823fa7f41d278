// The models that look words up: WordPiece and WordLevel.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/bpe.h"
#include "text/trie.h"

namespace infernum::text {

struct WordPieceConfig {
  std::string word_prefix;                // put before every word (GGUF: U+2581)
  std::string continuing_subword_prefix;  // marks the tokens that go on inside a word
  size_t max_input_chars_per_word = 100;
  int32_t unk_id = -1;
};

/// Greedy longest prefix; any failure makes the whole word unknown.
class WordPiece {
 public:
  WordPiece(const TokenList& tokens, WordPieceConfig config);
  void encode(std::string_view piece, std::vector<int32_t>& out) const;

 private:
  WordPieceConfig config_;
  Trie first_, rest_;
};

class WordLevel {
 public:
  /// unk_id -1: unknown words are an Error when met.
  WordLevel(const TokenList& tokens, int32_t unk_id);
  void encode(std::string_view piece, std::vector<int32_t>& out) const;

 private:
  TokenMap words_;
  int32_t unk_id_;
};

}  // namespace infernum::text
