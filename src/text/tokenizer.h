// Text to token ids and back, for tokenizer.json files and vocabularies inside GGUF.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace infernum {

struct GgufVocab;
namespace text {
struct TokenizerParts;
}

struct EncodeOptions {
  bool add_special = true;    // what the post-processor adds: BOS, EOS, [CLS] ...
  bool parse_special = true;  // special tokens written out in the text become tokens
};

/// Part of a text. What an untrusted part says can never become a special token.
struct TextSpan {
  std::string_view text;
  bool trusted = true;
};

/// Immutable, safe to share between threads, cheap to copy. Text that is not UTF-8: every maximal ill-formed subpart is read as U+FFFD.
class Tokenizer {
 public:
  /// From the contents of tokenizer.json and, if there is one, tokenizer_config.json ("" = none). Throws Error naming what is wrong.
  static Tokenizer from_json(std::string_view tokenizer_json, std::string_view tokenizer_config_json = {});
  static Tokenizer from_gguf(const GgufVocab& vocab);
  explicit Tokenizer(std::shared_ptr<const text::TokenizerParts> parts);

  std::vector<int32_t> encode(std::string_view text, EncodeOptions options = {}) const;
  /// The spans joined are one text: except for special tokens, where one ends and the next begins leaves no trace.
  std::vector<int32_t> encode(std::span<const TextSpan> spans, EncodeOptions options = {}) const;
  /// Ids outside of the vocabulary are skipped. The result is valid UTF-8.
  std::string decode(std::span<const int32_t> ids, bool skip_special = true) const;

  /// One more than the largest id; ids in between may be unused.
  int32_t vocab_size() const;
  std::optional<int32_t> token_id(std::string_view token) const;
  /// The token as the file spells it (for example "Ġthe"); "" for an unused id.
  std::string_view token_text(int32_t id) const;
  /// The bytes that the token stands for inside of a text; they need not be whole characters.
  std::string token_bytes(int32_t id) const;
  bool is_special(int32_t id) const;

  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  std::optional<int32_t> unk_id() const;
  std::optional<int32_t> pad_id() const;
  /// Ids that end a turn, sorted. For tokenizer.json the EOS token only: generation_config.json knows the rest.
  const std::vector<int32_t>& end_of_generation_ids() const;

 private:
  friend class StreamDecoder;
  std::shared_ptr<const text::TokenizerParts> parts_;
};

}  // namespace infernum
