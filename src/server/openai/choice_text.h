// ChoiceText: the tokens of one choice as text, released as soon as it is certain: whole characters, and nothing behind a stop string.
#pragma once
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/engine.h"
#include "runtime/stop_matcher.h"
#include "server/openai/plan.h"
#include "text/stream_decoder.h"

namespace infernum::server::openai {

/// A token with its place in the text, kept where logprobs are asked for.
struct PlacedToken {
  ScoredToken scored;
  size_t begin = 0, end = 0;  ///< bytes of the generated text that was certain before and behind it
  size_t character = 0;       ///< characters before it
};

/// What was released since the last time.
struct TextDelta {
  std::string text;
  std::vector<PlacedToken> tokens;
  TokenIds ids;  ///< as generated, whether or not their text is released yet

  bool empty() const { return text.empty() && tokens.empty() && ids.empty(); }
};

class ChoiceText {
 public:
  /// `plan` outlives this.
  ChoiceText(const Plan& plan, const Tokenizer& tokenizer, const TokenIds& prompt);

  /// Tokens after the end of the text are ignored.
  void push(ScoredToken token);
  /// Nothing more comes: releases what was held back.
  void finish();
  /// Takes what is released into `delta`, which keeps its memory from one time to the next.
  void take(TextDelta& delta);

  bool stopped() const { return stopped_; }  ///< a stop string or an end of generation was seen
  bool stopped_by_text() const { return !stop_text_.empty(); }
  const std::string& stop_text() const { return stop_text_; }
  std::optional<int32_t> stop_id() const { return stop_id_; }  ///< the id among the request's own that ended it
  int64_t tokens() const { return tokens_; }                   ///< generated up to the end of the text

 private:
  void append(const std::string& text);
  void match(const std::string& text);

  const Plan& plan_;
  StreamDecoder decoder_;
  StopMatcher matcher_;
  bool keep_tokens_;
  std::string held_;  ///< came in, did not come out of the matcher yet
  std::string stop_text_;
  std::optional<int32_t> stop_id_;
  bool stopped_ = false, finished_ = false;
  int64_t tokens_ = 0;
  size_t decoded_ = 0, characters_ = 0, released_ = 0;  ///< bytes, characters, bytes
  std::deque<PlacedToken> waiting_;
  TextDelta ready_;
};

/// The text that a token stands for, with U+FFFD for what is no character by itself; or token_id:N.
std::string token_name(const Tokenizer& tokenizer, int32_t id, bool as_id);

}  // namespace infernum::server::openai
