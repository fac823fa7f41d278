// Byte-pair encoding by a list of merges (tokenizer.json "BPE", GGUF "gpt2").
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/merge.h"
#include "text/token_map.h"

namespace infernum::text {

struct BpeConfig {
  std::string unk_token;  // "" = none
  std::string continuing_subword_prefix, end_of_word_suffix;
  bool fuse_unk = false, byte_fallback = false, ignore_merges = false;
  /// Pieces are raw bytes; the vocabulary is written in the byte alphabet.
  bool byte_level = false;
};

struct MergeRule {
  std::string_view left, right;
};

/// A token list as the models take it: ids are indexes, "" = hole. `matchable` false: text never becomes this token (special tokens).
struct TokenList {
  const std::vector<std::string>& texts;
  const std::vector<char>& matchable;
  const TokenMap& ids;
};

class Bpe {
 public:
  /// Rank of a merge = its place. Throws Error when a merge names a text outside of the vocabulary.
  Bpe(const TokenList& tokens, const std::vector<MergeRule>& merges, BpeConfig config);
  void encode(std::string_view piece, std::vector<int32_t>& out) const;

 private:
  struct PairSlot {
    uint64_t pair = UINT64_MAX;
    Merge merge;
  };
  Merge find(int32_t left, int32_t right) const {
    if ((left | right) < 0) return {};
    const uint64_t pair = static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
    for (size_t at = slot_of(pair);; at = (at + 1) & (pairs_.size() - 1)) {
      if (pairs_[at].pair == pair) return pairs_[at].merge;
      if (pairs_[at].pair == UINT64_MAX) return {};
    }
  }
  size_t slot_of(uint64_t pair) const { return ((pair * 0x9E3779B97F4A7C15ULL) >> 20 ^ pair) & (pairs_.size() - 1); }
  void add_merges(const TokenList& tokens, const std::vector<MergeRule>& merges);
  void set_pair(uint64_t pair, Merge merge);
  void encode_chunk(std::string_view piece, std::vector<int32_t>& out) const;
  void add_symbols(std::string_view piece, SymbolList& symbols) const;
  void add_unknown(std::string_view character, uint32_t begin, uint32_t end, int32_t& run, SymbolList& symbols) const;

  BpeConfig config_;
  TokenMap texts_;  // what a whole piece is looked up in: raw bytes when byte level
  std::vector<PairSlot> pairs_;
  int32_t unk_id_ = -1;
  std::array<int32_t, 256> byte_symbols_;    // byte level: the token of each byte
  std::array<int32_t, 256> fallback_bytes_;  // <0xXX>
  bool cut_at_metaspace_ = false;            // no merge joins anything to a following U+2581: pieces may be cut there
  // Whether merging a token's own text gives that token (1) or not (2); 0 = not tried yet. A bounded cache shared by all threads.
  std::unique_ptr<std::atomic<uint8_t>[]> whole_;
};

/// GGUF "llama": the pair whose joined text is the token of the highest score first; leftovers as <0xXX>.
class ScoredBpe {
 public:
  ScoredBpe(const TokenList& tokens, const std::vector<float>& scores, int32_t unk_id);
  void encode(std::string_view piece, std::vector<int32_t>& out) const;

 private:
  void encode_chunk(std::string_view piece, std::vector<int32_t>& out) const;
  TokenMap texts_;
  std::vector<uint32_t> ranks_;  // of an id: place of its score among the distinct scores, highest first
  std::array<int32_t, 256> fallback_bytes_;
  int32_t unk_id_;
  bool cut_at_metaspace_ = false;
};

}  // namespace infernum::text
