// What a tokenizer consists of; filled by the loaders, read by Tokenizer.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/token_decoder.h"
#include "text/token_map.h"
#include "text/unigram.h"
#include "text/word_models.h"

namespace infernum::text {

using Model = std::variant<std::monostate, Bpe, ScoredBpe, Unigram, WordPiece, WordLevel>;

/// Ids put around the ids of a text.
struct Template {
  std::vector<int32_t> before, after;
};

/// How a token's text relates to the bytes it stands for.
enum class TokenSpelling { Plain, ByteAlphabet, SpaceMarks };

struct TokenizerParts {
  static constexpr int32_t max_vocab = 1 << 22;  // bounds the memory that a file with a stray id can ask for
  static constexpr size_t max_text_bytes = 1u << 30;

  std::vector<std::string> tokens;  // by id; "" = unused
  std::vector<char> special;        // by id: hidden by skip_special, never made from untrusted text
  std::vector<char> verbatim;       // by id: the token's bytes are its text (added tokens, control tokens)
  TokenMap ids;
  AddedTokens raw_added, normalized_added;  // matched before and after normalization
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Model model;
  std::vector<Template> templates;  // applied one around the other
  std::vector<DecoderStep> decoder;
  bool decode_bytes = false;  // the decoder takes token_bytes() instead of token texts
  TokenSpelling spelling = TokenSpelling::Plain;
  bool byte_tokens = false;  // <0xXX> stands for a byte
  std::optional<int32_t> bos, eos, unk, pad;
  std::vector<int32_t> end_of_generation;

  /// Adds or finds the place of an id. Throws Error outside of [0, max_vocab) or when the id has another text.
  void set_token(int64_t id, std::string_view text);
  std::string token_bytes(int32_t id) const;
  void feed(DecodeRun& run, int32_t id, bool skip_special, std::string& out) const;
};

}  // namespace infernum::text
