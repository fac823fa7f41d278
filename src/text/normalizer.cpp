// Every normalizer as a pass over the text that says which input bytes each output byte stems from.
#include "text/normalizer.h"

#include <algorithm>

#include "core/check.h"
#include "text/byte_level.h"

namespace infernum::text {
namespace {

/// Collects the output of one pass. Output is trusted when all of the input it stems from is.
class Rewriter {
 public:
  explicit Rewriter(const TrackedText& in) : in_(in), limit_(16 * in.bytes.size() + 4096) { out_.bytes.reserve(in.bytes.size() + 16); }
  void emit(size_t begin, size_t end, std::string_view bytes) {
    out_.bytes += bytes;
    check(out_.bytes.size() <= limit_, "normalizer: the text grows more than sixteenfold", in_.bytes.size());
    track(begin, end);
  }
  void keep(size_t begin, size_t end) {
    out_.bytes.append(in_.bytes, begin, end - begin);
    if (!in_.trust.empty()) out_.trust.append(in_.trust, begin, end - begin);
  }
  /// For producers that append to bytes() themselves; call track() after them.
  std::string& bytes() { return out_.bytes; }
  void track(size_t begin, size_t end) {
    if (in_.trust.empty()) return;
    const bool trusted = in_.trust.substr(begin, end - begin).find('\0') == std::string::npos;
    out_.trust.resize(out_.bytes.size(), trusted ? '\1' : '\0');
  }
  TrackedText take() { return std::move(out_); }

 private:
  const TrackedText& in_;
  size_t limit_;  // no script needs more; a hostile Replace does
  TrackedText out_;
};

/// Calls visit(begin, end, code point) for every character.
template <class Visit>
void each_character(std::string_view text, Visit&& visit) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text.data() + at);
    visit(at, at + c.bytes, c.value);
    at += c.bytes;
  }
}

bool is_space(char32_t c) { return CharTable::get()[c] & Space; }

TrackedText apply(const UnicodeNormalizer& step, const TrackedText& in) {
  // ASCII is normal in every form, and nothing combines across the front of an ASCII character.
  Rewriter out(in);
  const std::string_view text = in.bytes;
  const auto ascii = [&](size_t i) { return static_cast<unsigned char>(text[i]) < 0x80; };
  for (size_t at = 0; at < text.size();) {
    size_t plain = at;
    while (plain < text.size() && ascii(plain)) ++plain;
    if (plain < text.size() && plain > at) --plain;  // it may be the base of the marks that follow
    if (plain > at) out.keep(at, plain);
    size_t end = plain < text.size() ? plain + 1 : plain;
    while (end < text.size() && !ascii(end)) ++end;
    if (end > plain) {
      append_normalized(out.bytes(), text.substr(plain, end - plain), step.form);
      out.track(plain, end);
    }
    at = end;
  }
  return out.take();
}

TrackedText apply(const LowercaseNormalizer&, const TrackedText& in) {
  Rewriter out(in);
  each_character(in.bytes, [&](size_t begin, size_t end, char32_t c) {
    append_lower(out.bytes(), c);
    out.track(begin, end);
  });
  return out.take();
}

TrackedText apply(const StripNormalizer& step, const TrackedText& in) {
  size_t begin = in.bytes.size(), end = 0;
  each_character(in.bytes, [&](size_t b, size_t e, char32_t c) {
    if (is_space(c)) return;
    begin = std::min(begin, b);
    end = e;
  });
  if (!step.left) begin = 0;
  if (!step.right) end = in.bytes.size();
  Rewriter out(in);
  if (begin < end) out.keep(begin, end);
  return out.take();
}

template <class Drop>
TrackedText filter(const TrackedText& in, Drop&& drop) {
  Rewriter out(in);
  each_character(in.bytes, [&](size_t begin, size_t end, char32_t c) {
    if (!drop(c)) out.keep(begin, end);
  });
  return out.take();
}

TrackedText apply(const StripAccentsNormalizer&, const TrackedText& in) {
  return filter(in, [](char32_t c) { return CharTable::get()[c] & Mark; });
}

TrackedText apply(const PrependNormalizer& step, const TrackedText& in) {
  if (in.bytes.empty()) return in;
  Rewriter out(in);
  out.emit(0, 0, step.text);
  out.keep(0, in.bytes.size());
  return out.take();
}

TrackedText apply(const ReplaceNormalizer& step, const TrackedText& in) {
  Rewriter out(in);
  std::vector<Segment> segments;
  step.pattern.segments(in.bytes, {0, static_cast<uint32_t>(in.bytes.size())}, segments);
  for (const Segment& s : segments) s.is_match ? out.emit(s.begin, s.end, step.content) : out.keep(s.begin, s.end);
  return out.take();
}

TrackedText apply(const ByteLevelNormalizer&, const TrackedText& in) {
  Rewriter out(in);
  for (size_t i = 0; i < in.bytes.size(); ++i) {
    ByteAlphabet::get().append_characters(out.bytes(), std::string_view(in.bytes).substr(i, 1));
    out.track(i, i + 1);
  }
  return out.take();
}

TrackedText apply(const NmtNormalizer&, const TrackedText& in) {
  const auto dropped = [](char32_t c) {
    return (c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
  };
  const auto spaced = [](char32_t c) {
    return c == 9 || c == 10 || c == 12 || c == 13 || c == 0x1680 || (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 ||
           c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
  };
  Rewriter out(in);
  each_character(in.bytes, [&](size_t begin, size_t end, char32_t c) {
    if (dropped(c)) return;
    spaced(c) ? out.emit(begin, end, " ") : out.keep(begin, end);
  });
  return out.take();
}

bool is_cjk_ideograph(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

TrackedText apply(const BertNormalizer& step, const TrackedText& in) {
  const CharTable& table = CharTable::get();
  Rewriter out(in);
  each_character(in.bytes, [&](size_t begin, size_t end, char32_t c) {
    if (step.clean_text) {
      const bool blank = c == '\t' || c == '\n' || c == '\r';
      if (c == 0 || c == 0xFFFD || (!blank && table[c] & Control)) return;
      if (table[c] & Space) return out.emit(begin, end, " ");
    }
    if (!step.handle_chinese_chars || !is_cjk_ideograph(c)) return out.keep(begin, end);
    out.emit(begin, begin, " ");
    out.keep(begin, end);
    out.emit(end, end, " ");
  });
  TrackedText text = out.take();
  if (step.strip_accents) text = filter(apply(UnicodeNormalizer{NormalForm::NFD}, text), [&](char32_t c) { return table[c] & Nonspacing; });
  if (step.lowercase) text = apply(LowercaseNormalizer{}, text);
  return text;
}

TrackedText apply(const PrecompiledNormalizer& step, const TrackedText& in) {
  Rewriter out(in);
  const std::string_view text = in.bytes;
  for (size_t at = 0; at < text.size();) {
    const size_t end = grapheme_end(text, at);
    const auto cluster = end - at < 6 ? step.map->shortest(text.substr(at, end - at)) : Charsmap::Match{};
    if (cluster.bytes > 0) {
      out.emit(at, end, cluster.replacement);
    } else {
      each_character(text.substr(at, end - at), [&](size_t b, size_t e, char32_t) {
        const auto match = step.map->shortest(text.substr(at + b, e - b));
        match.bytes > 0 ? out.emit(at + b, at + e, match.replacement) : out.keep(at + b, at + e);
      });
    }
    at = end;
  }
  return out.take();
}

TrackedText apply(const SentencePieceNormalizer& step, const TrackedText& in) {
  Rewriter out(in);
  const std::string_view text = in.bytes;
  bool begun = false, space = false;
  const auto put = [&](size_t begin, size_t end, std::string_view part) {  // a part of the text after the charsmap
    each_character(part, [&](size_t b, size_t e, char32_t c) {
      if (c == ' ' && step.remove_extra_whitespaces) {
        space = true;
        return;
      }
      if (begun ? space : step.add_dummy_prefix) out.emit(begin, begin, metaspace_mark);
      begun = true;
      space = false;
      out.emit(begin, end, c == ' ' ? metaspace_mark : part.substr(b, e - b));
    });
  };
  for (size_t at = 0; at < text.size();) {
    const auto match = step.map ? step.map->longest(text.substr(at)) : Charsmap::Match{};
    const size_t bytes = match.bytes > 0 ? match.bytes : utf8_bytes(text[at]);
    put(at, at + bytes, match.bytes > 0 ? match.replacement : text.substr(at, bytes));
    at += bytes;
    // A key may end inside a character; the rest of that character is ill-formed on its own and goes.
    while (at < text.size() && is_continuation(text[at])) ++at;
  }
  return out.take();
}

}  // namespace

void Normalizer::apply(TrackedText& text) const {
  const size_t limit = 64 * text.bytes.size() + 65536;
  for (const NormalizerStep& step : steps_) {
    text = std::visit([&](const auto& s) { return infernum::text::apply(s, text); }, step);
    check(text.bytes.size() <= limit, "normalizer: the text grows without bound", text.bytes.size(), limit);
  }
}

std::string Normalizer::operator()(std::string_view text) const {
  TrackedText tracked{std::string(text), {}};
  apply(tracked);
  return std::move(tracked.bytes);
}

}  // namespace infernum::text
