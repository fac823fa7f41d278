// From token texts back to text: the decoder steps of tokenizer.json, run as a stream.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/split.h"

namespace infernum::text {

struct JoinDecoder {  // tokenizer.json without a decoder: tokens joined by a space
};
/// Bytes of the byte alphabet; a token with other characters stands for itself. Ill-formed UTF-8 becomes U+FFFD.
struct ByteLevelDecoder {};
/// The same for input that is raw bytes already (GGUF "llama").
struct BytesDecoder {};
struct ByteFallbackDecoder {};
struct FuseDecoder {};
struct StripDecoder {
  std::string content;  // one character
  size_t start, stop;
};
struct ReplaceDecoder {
  Pattern pattern;
  std::string content;
};
struct MetaspaceDecoder {
  std::string replacement;
  bool prepended;  // prepend_scheme is not never: the first token loses its marks
};
struct WordPieceDecoder {
  std::string prefix;
  bool cleanup;
  std::string word_prefix;  // GGUF: marks word starts instead; "" = none
};
struct BpeDecoder {
  std::string suffix;
};

using DecoderStep = std::variant<JoinDecoder, ByteLevelDecoder, BytesDecoder, ByteFallbackDecoder, FuseDecoder, StripDecoder,
                                 ReplaceDecoder, MetaspaceDecoder, WordPieceDecoder, BpeDecoder>;

/// One run through the steps. All tokens fed, then finish(): the text is the same however it is taken out in between.
class DecodeRun {
 public:
  explicit DecodeRun(const std::vector<DecoderStep>& steps) : steps_(steps), states_(steps.size()) {}
  /// Adds a token's text; what can be told for certain is appended to out.
  void feed(std::string_view token, std::string& out) { feed(0, token, out); }
  void finish(std::string& out) { finish(0, out); }

 private:
  struct State {
    std::string held;     // input that cannot be passed on yet
    bool begun = false;   // an element has come in
    size_t stripped = 0;  // StripDecoder on one long element: leading characters removed so far
    bool past_start = false;
  };
  void feed(size_t step, std::string_view text, std::string& out);
  void finish(size_t step, std::string& out);
  void element(size_t step, std::string_view text, std::string& out);
  /// From this step on there is one element, fed in parts.
  bool is_fused(size_t step) const;

  void run(const JoinDecoder& d, size_t step, std::string_view text, std::string& out);
  void run(const ByteLevelDecoder& d, size_t step, std::string_view text, std::string& out);
  void run(const BytesDecoder& d, size_t step, std::string_view text, std::string& out);
  void run(const ByteFallbackDecoder& d, size_t step, std::string_view text, std::string& out);
  void run(const FuseDecoder& d, size_t step, std::string_view text, std::string& out);
  void run(const StripDecoder& d, size_t step, std::string_view text, std::string& out);
  void run(const ReplaceDecoder& d, size_t step, std::string_view text, std::string& out);
  void run(const MetaspaceDecoder& d, size_t step, std::string_view text, std::string& out);
  void run(const WordPieceDecoder& d, size_t step, std::string_view text, std::string& out);
  void run(const BpeDecoder& d, size_t step, std::string_view text, std::string& out);
  void strip_part(const StripDecoder& d, size_t step, std::string_view text, std::string& out);
  void pass_characters(size_t step, std::string& out);
  void flush_bytes(size_t step, std::string& out);

  const std::vector<DecoderStep>& steps_;
  std::vector<State> states_;
};

}  // namespace infernum::text
