// Text of a token stream, as soon as it is certain.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "text/tokenizer.h"

namespace infernum {

/// All texts handed out, joined, equal decode() of all ids. Never hands out part of a character.
class StreamDecoder {
 public:
  /// `before`: the last few ids of the prompt, so that what a decoder does to the beginning of a text (dropping a space) is not done again.
  StreamDecoder(Tokenizer tokenizer, bool skip_special, std::span<const int32_t> before = {});
  StreamDecoder(StreamDecoder&&) noexcept;
  StreamDecoder& operator=(StreamDecoder&&) noexcept;
  ~StreamDecoder();

  std::string push(int32_t id);
  /// What was held back: an unfinished character is U+FFFD. Call once, at the end.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace infernum
