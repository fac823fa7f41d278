// The decoder steps. A step passes elements to the next; after Fuse or ByteLevel there is one element, which arrives in parts.
#include "text/token_decoder.h"

#include <algorithm>
#include <utility>

#include "text/byte_level.h"
#include "text/unicode.h"

namespace infernum::text {
namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  if (from.empty()) return;
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
}

/// The clean-up of spaces that BERT's tokenizers apply to every token.
void clean_up(std::string& text) {
  constexpr std::string_view rules[][2] = {{" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
                                           {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
                                           {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& rule : rules) replace_all(text, rule[0], rule[1]);
}

}  // namespace

bool DecodeRun::is_fused(size_t step) const {
  return std::any_of(steps_.begin(), steps_.begin() + static_cast<std::ptrdiff_t>(step), [](const DecoderStep& s) {
    return std::holds_alternative<FuseDecoder>(s) || std::holds_alternative<ByteLevelDecoder>(s) || std::holds_alternative<BytesDecoder>(s);
  });
}

void DecodeRun::feed(size_t step, std::string_view text, std::string& out) {
  if (step == steps_.size()) {
    out += text;
    return;
  }
  if (!is_fused(step) || std::holds_alternative<FuseDecoder>(steps_[step])) return element(step, text, out);
  if (const auto* strip = std::get_if<StripDecoder>(&steps_[step])) return strip_part(*strip, step, text, out);
  states_[step].held += text;  // other steps need their element whole
}

void DecodeRun::element(size_t step, std::string_view text, std::string& out) {
  std::visit([&](const auto& d) { run(d, step, text, out); }, steps_[step]);
  states_[step].begun = true;
}

void DecodeRun::finish(size_t step, std::string& out) {
  if (step == steps_.size()) return;
  State& state = states_[step];
  const DecoderStep& d = steps_[step];
  if (is_fused(step)) {
    if (std::holds_alternative<StripDecoder>(d)) {
      state.held.clear();  // trailing characters within `stop`
    } else if (!std::holds_alternative<FuseDecoder>(d) && !state.held.empty()) {
      const std::string whole = std::exchange(state.held, {});
      element(step, whole, out);
    }
  }
  if (std::holds_alternative<ByteFallbackDecoder>(d)) flush_bytes(step, out);
  if ((std::holds_alternative<ByteLevelDecoder>(d) || std::holds_alternative<BytesDecoder>(d)) && !state.held.empty()) {
    feed(step + 1, to_valid_utf8(std::exchange(state.held, {})), out);
  }
  if (const auto* bpe = std::get_if<BpeDecoder>(&d); bpe && state.begun) {
    std::string last = std::exchange(state.held, {});
    replace_all(last, bpe->suffix, "");
    feed(step + 1, last, out);
  }
  finish(step + 1, out);
}

void DecodeRun::run(const JoinDecoder&, size_t step, std::string_view text, std::string& out) {
  if (states_[step].begun) feed(step + 1, " ", out);
  feed(step + 1, text, out);
}

void DecodeRun::run(const ByteLevelDecoder&, size_t step, std::string_view text, std::string& out) {
  if (!ByteAlphabet::get().append_bytes(states_[step].held, text)) states_[step].held += text;
  pass_characters(step, out);
}

void DecodeRun::run(const BytesDecoder&, size_t step, std::string_view text, std::string& out) {
  states_[step].held += text;
  pass_characters(step, out);
}

/// Passes on what is held up to a character that later bytes may still complete.
void DecodeRun::pass_characters(size_t step, std::string& out) {
  std::string& held = states_[step].held;
  std::string text;
  std::string_view rest = held;
  while (!rest.empty()) {
    const Utf8Unit unit = next_utf8_unit(rest);
    if (unit.kind == Utf8Unit::Incomplete) break;
    text += unit.kind == Utf8Unit::Character ? rest.substr(0, unit.bytes) : replacement_character;
    rest.remove_prefix(unit.bytes);
  }
  held.erase(0, held.size() - rest.size());
  if (!text.empty()) feed(step + 1, text, out);
}

void DecodeRun::run(const ByteFallbackDecoder&, size_t step, std::string_view text, std::string& out) {
  if (const int byte = parse_byte_token(text); byte >= 0) {
    states_[step].held.push_back(static_cast<char>(byte));
    return;
  }
  flush_bytes(step, out);
  feed(step + 1, text, out);
}

/// A run of byte tokens is text if all of it is valid, else one U+FFFD per byte.
void DecodeRun::flush_bytes(size_t step, std::string& out) {
  const std::string bytes = std::exchange(states_[step].held, {});
  if (bytes.empty()) return;
  if (is_valid_utf8(bytes)) return feed(step + 1, bytes, out);
  for (size_t i = 0; i < bytes.size(); ++i) feed(step + 1, replacement_character, out);
}

void DecodeRun::run(const FuseDecoder&, size_t step, std::string_view text, std::string& out) { feed(step + 1, text, out); }

void DecodeRun::run(const StripDecoder& d, size_t step, std::string_view text, std::string& out) {
  const size_t width = d.content.size();
  for (size_t i = 0; i < d.start && text.substr(0, width) == d.content; ++i) text.remove_prefix(width);
  for (size_t i = 0; i < d.stop && text.size() >= width && text.substr(text.size() - width) == d.content; ++i) text.remove_suffix(width);
  feed(step + 1, text, out);
}

void DecodeRun::strip_part(const StripDecoder& d, size_t step, std::string_view text, std::string& out) {
  State& state = states_[step];
  const size_t width = d.content.size();
  while (!state.past_start && !text.empty()) {
    if (state.stripped < d.start && text.substr(0, width) == d.content) {
      text.remove_prefix(width);
      ++state.stripped;
    } else {
      state.past_start = true;
    }
  }
  state.held += text;
  size_t keep = state.held.size();  // the last `stop` characters may still turn out to be the end
  for (size_t i = 0; i < d.stop && keep >= width && std::string_view(state.held).substr(keep - width, width) == d.content; ++i)
    keep -= width;
  if (keep > 0) feed(step + 1, state.held.substr(0, keep), out);
  state.held.erase(0, keep);
}

void DecodeRun::run(const ReplaceDecoder& d, size_t step, std::string_view text, std::string& out) {
  std::string replaced;
  d.pattern.replace(text, d.content, replaced);
  feed(step + 1, replaced, out);
}

void DecodeRun::run(const MetaspaceDecoder& d, size_t step, std::string_view text, std::string& out) {
  std::string spaced(text);
  replace_all(spaced, d.replacement, d.prepended && !states_[step].begun ? "" : " ");
  feed(step + 1, spaced, out);
}

void DecodeRun::run(const WordPieceDecoder& d, size_t step, std::string_view text, std::string& out) {
  std::string word;
  const bool first = !states_[step].begun;
  if (!d.word_prefix.empty()) {
    const bool starts = text.substr(0, d.word_prefix.size()) == d.word_prefix;
    if (starts) text.remove_prefix(d.word_prefix.size());
    if (starts && !first) word = ' ';
    word += text;
  } else if (first) {
    word = text;
  } else if (text.substr(0, d.prefix.size()) == d.prefix) {
    word = text.substr(d.prefix.size());
  } else {
    word = ' ';
    word += text;
  }
  if (d.cleanup) clean_up(word);
  feed(step + 1, word, out);
}

void DecodeRun::run(const BpeDecoder& d, size_t step, std::string_view text, std::string& out) {
  State& state = states_[step];
  if (state.begun) {
    replace_all(state.held, d.suffix, " ");
    feed(step + 1, state.held, out);
  }
  state.held = text;
}

}  // namespace infernum::text
