// Streaming over a run of the decoder steps.
#include "text/stream_decoder.h"

#include "text/token_decoder.h"
#include "text/tokenizer_parts.h"

namespace infernum {

struct StreamDecoder::State {
  State(Tokenizer t, bool skip) : tokenizer(std::move(t)), skip_special(skip), run(tokenizer.parts_->decoder) {}
  void feed(int32_t id, std::string& out) { tokenizer.parts_->feed(run, id, skip_special, out); }
  Tokenizer tokenizer;
  bool skip_special;
  text::DecodeRun run;
};

StreamDecoder::StreamDecoder(Tokenizer tokenizer, bool skip_special, std::span<const int32_t> before)
    : state_(std::make_unique<State>(std::move(tokenizer), skip_special)) {
  std::string shown_before;
  for (const int32_t id : before) state_->feed(id, shown_before);
}

StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder&&) noexcept = default;
StreamDecoder::~StreamDecoder() = default;

std::string StreamDecoder::push(int32_t id) {
  std::string out;
  state_->feed(id, out);
  return out;
}

std::string StreamDecoder::finish() {
  std::string out;
  state_->run.finish(out);
  return out;
}

}  // namespace infernum
