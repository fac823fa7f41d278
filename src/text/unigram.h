// The Unigram model: the segmentation of the highest total log-probability.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/bpe.h"
#include "text/trie.h"

namespace infernum::text {

class Unigram {
 public:
  /// unk_id -1 = none. Pieces are limited to 1024 bytes, which bounds the work per character.
  Unigram(const TokenList& tokens, std::vector<double> scores, int32_t unk_id, bool byte_fallback);
  void encode(std::string_view piece, std::vector<int32_t>& out) const;

 private:
  void append_unknown(std::string_view text, std::vector<int32_t>& out) const;
  Trie trie_;
  std::vector<double> scores_;
  double unk_score_ = 0;
  int32_t unk_id_;
  bool byte_fallback_;
  std::array<int32_t, 256> bytes_;
};

}  // namespace infernum::text
