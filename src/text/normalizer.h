// Normalizers: rewriting of text before it is cut into pieces.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/charsmap.h"
#include "text/split.h"
#include "text/unicode.h"

namespace infernum::text {

/// Valid UTF-8, and which of its bytes come from trusted text ('\1') or not ('\0'); an empty `trust` means all of them do.
struct TrackedText {
  std::string bytes;
  std::string trust;
};

struct UnicodeNormalizer {
  NormalForm form;
};
struct LowercaseNormalizer {};
struct StripNormalizer {
  bool left, right;
};
struct StripAccentsNormalizer {};  // drops category M
struct PrependNormalizer {
  std::string text;
};
struct ReplaceNormalizer {
  Pattern pattern;
  std::string content;
};
struct ByteLevelNormalizer {};
struct NmtNormalizer {};
struct BertNormalizer {
  bool clean_text, handle_chinese_chars, strip_accents, lowercase;
};
/// Hugging Face's reading of a charsmap: whole grapheme clusters first, the shortest match counts.
struct PrecompiledNormalizer {
  std::shared_ptr<const Charsmap> map;
};
/// SentencePiece's own normalization: longest match, spaces collapsed, trimmed and written as U+2581.
struct SentencePieceNormalizer {
  std::shared_ptr<const Charsmap> map;  // may be null
  bool add_dummy_prefix, remove_extra_whitespaces;
};

using NormalizerStep =
    std::variant<UnicodeNormalizer, LowercaseNormalizer, StripNormalizer, StripAccentsNormalizer, PrependNormalizer, ReplaceNormalizer,
                 ByteLevelNormalizer, NmtNormalizer, BertNormalizer, PrecompiledNormalizer, SentencePieceNormalizer>;

class Normalizer {
 public:
  Normalizer() = default;
  explicit Normalizer(std::vector<NormalizerStep> steps) : steps_(std::move(steps)) {}
  bool is_identity() const { return steps_.empty(); }
  void apply(TrackedText& text) const;
  std::string operator()(std::string_view text) const;

 private:
  std::vector<NormalizerStep> steps_;
};

}  // namespace infernum::text
