// Pre-tokenizers: cutting normalized text into the pieces that the model sees.
#pragma once
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/split.h"

namespace infernum::text {

struct ByteLevelStep {
  bool add_prefix_space, use_regex;
  bool map_bytes = true;  // cleared where the model works on the bytes themselves
};
struct SplitStep {
  Pattern pattern;
  SplitBehavior behavior;
  bool invert;
};
struct DigitsStep {
  bool individual;
};
struct PunctuationStep {
  SplitBehavior behavior;
};
struct WhitespaceStep {};  // \w+|[^\w\s]+
struct WhitespaceSplitStep {};
struct DelimiterStep {
  char32_t delimiter;
};
struct BertStep {};
struct FixedLengthStep {
  size_t length;  // characters
};
struct MetaspaceStep {
  std::string replacement;
  enum Prepend { Always, First, Never } prepend;
  bool split;
};

using PreTokenizerStep = std::variant<ByteLevelStep, SplitStep, DigitsStep, PunctuationStep, WhitespaceStep, WhitespaceSplitStep,
                                      DelimiterStep, BertStep, FixedLengthStep, MetaspaceStep>;

/// A text on its way through the steps: `text` is the input, or `storage` once a step has rewritten it.
struct Pieces {
  std::string storage;
  std::string_view text;
  std::vector<Piece> pieces;
  bool at_start = false;  // pieces[0] begins where the whole input begins
};

class PreTokenizer {
 public:
  PreTokenizer() = default;
  explicit PreTokenizer(std::vector<PreTokenizerStep> steps);
  /// True: the pieces are raw bytes where tokenizer.json means the byte alphabet (a bijection), so the model compares bytes.
  bool byte_level() const { return byte_level_; }
  /// Cuts `out.text`; out.at_start says whether it is the beginning of the input.
  void run(Pieces& out) const;

 private:
  std::vector<PreTokenizerStep> steps_;
  bool byte_level_ = false;
  bool unmap_ = false;  // steps after ByteLevel saw the alphabet: back to bytes at the end
};

}  // namespace infernum::text
