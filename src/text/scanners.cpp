// The known pre-tokenizer regexes as code: one alternative of the regex after the other, in its order.
#include "text/scanners.h"

#include <iterator>

namespace infernum::text {
namespace {

struct Class {
  uint16_t bits;
  uint32_t bytes;
};

Class class_at(const CharTable& table, std::string_view text, size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x80) return {table[byte], 1};
  const CodePoint c = decode_utf8(text.data() + at);
  return {table[c.value], c.bytes};
}

/// End of the run of characters with a class in `any` and none in `none`.
size_t run(const CharTable& table, std::string_view text, size_t at, uint16_t any, uint16_t none = 0) {
  while (at < text.size()) {
    const Class c = class_at(table, text, at);
    if (!(c.bits & any) || (c.bits & none)) break;
    at += c.bytes;
  }
  return at;
}

size_t run_without(const CharTable& table, std::string_view text, size_t at, uint16_t none) {
  while (at < text.size()) {
    const Class c = class_at(table, text, at);
    if (c.bits & none) break;
    at += c.bytes;
  }
  return at;
}

size_t run_at_most(const CharTable& table, std::string_view text, size_t at, uint16_t any, int most) {
  for (; at < text.size() && most > 0; --most) {
    const Class c = class_at(table, text, at);
    if (!(c.bits & any)) break;
    at += c.bytes;
  }
  return at;
}

char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

/// 's|'t|'re|'ve|'m|'ll|'d; ignoring case also takes U+017F, whose upper case is S.
size_t contraction(std::string_view text, size_t at, bool ignore_case) {
  if (at + 1 >= text.size() || text[at] != '\'') return at;
  const auto lower = [&](size_t i) { return ignore_case ? ascii_lower(text[i]) : text[i]; };
  const char a = lower(at + 1);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return at + 2;
  if (at + 2 >= text.size()) return at;
  const char b = lower(at + 2);
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return at + 3;
  if (ignore_case && text.substr(at + 1, 2) == "\xC5\xBF") return at + 3;
  return at;
}

/// \s+(?!\S)|\s+ : a run of several that something follows leaves its last character to the next match.
size_t spaces(const CharTable& table, std::string_view text, size_t at) {
  size_t end = at, last = at;
  while (end < text.size()) {
    const Class c = class_at(table, text, end);
    if (!(c.bits & kSpace)) break;
    last = end;
    end += c.bytes;
  }
  return end < text.size() && last > at ? last : end;
}

/// \s*[\r\n]+|\s+(?!\S)|\s+ : up to the last newline of the run of spaces, if it has one.
size_t lines_or_spaces(const CharTable& table, std::string_view text, size_t at) {
  const size_t end = run(table, text, at, kSpace);
  for (size_t i = end; i > at; --i)
    if (text[i - 1] == '\n' || text[i - 1] == '\r') return i;
  return spaces(table, text, at);
}

size_t gpt2(const CharTable& table, std::string_view text, size_t at) {
  if (const size_t end = contraction(text, at, false); end > at) return end;
  const size_t word = at + (text[at] == ' ');
  if (word < text.size()) {
    const uint16_t bits = class_at(table, text, word).bits;
    if (bits & kLetter) return run(table, text, word, kLetter);
    if (bits & kNumber) return run(table, text, word, kNumber);
    if (!(bits & kSpace)) return run_without(table, text, word, kSpace | kLetter | kNumber);
  }
  return spaces(table, text, at);
}

/// X?[letters]+ with X any character outside `not_before`; an X that is a mark may itself be one of the letters.
size_t prefixed_run(const CharTable& table, std::string_view text, size_t at, uint16_t not_before, uint16_t letters) {
  const Class first = class_at(table, text, at);
  if (!(first.bits & not_before)) {
    const size_t end = run(table, text, at + first.bytes, letters);
    if (end > at + first.bytes) return end;
  }
  return run(table, text, at, letters);
}

/// cl100k in Hugging Face's form: Llama 3, GLM-4, Qwen.
template <int kMostDigits, uint16_t kLetters>
size_t cl100k(const CharTable& table, std::string_view text, size_t at) {
  if (const size_t end = contraction(text, at, true); end > at) return end;
  if (const size_t end = prefixed_run(table, text, at, kNewline | kLetter | kNumber, kLetters); end > at) return end;
  if (const size_t end = run_at_most(table, text, at, kNumber, kMostDigits); end > at) return end;
  const size_t mark = at + (text[at] == ' ');
  if (const size_t end = run_without(table, text, mark, kSpace | kNumber | kLetters | kLetter); end > mark)
    return run(table, text, end, kNewline);
  return lines_or_spaces(table, text, at);
}

struct O200kForm {
  bool contractions = true;
  int most_digits = 3;
  bool slash = true;     // [\r\n/]* instead of [\r\n]*
  uint16_t without = 0;  // taken out of the letter classes
};

constexpr uint16_t kUpperSide = kUpper | kOtherCase | kMark;
constexpr uint16_t kLowerSide = kLower | kOtherCase | kMark;

/// U*D+ from `at`. When no D follows the run of U, its last character that is also a D ends the match (what backtracking finds).
size_t upper_then_lower(const CharTable& table, std::string_view text, size_t at, uint16_t without) {
  size_t end = at, both = at;
  while (end < text.size()) {
    const Class c = class_at(table, text, end);
    if (!(c.bits & kUpperSide) || (c.bits & without)) break;
    end += c.bytes;
    if (c.bits & kLowerSide) both = end;
  }
  const size_t lower = run(table, text, end, kLowerSide, without);
  return lower > end ? lower : both;
}

size_t upper_maybe_lower(const CharTable& table, std::string_view text, size_t at, uint16_t without) {
  const size_t end = run(table, text, at, kUpperSide, without);
  return end > at ? run(table, text, end, kLowerSide, without) : at;
}

size_t o200k_word(const CharTable& table, std::string_view text, size_t at, uint16_t without) {
  const Class first = class_at(table, text, at);
  const bool prefix = !(first.bits & (kNewline | kLetter | kNumber));
  const size_t after = at + first.bytes;
  for (const auto match : {upper_then_lower, upper_maybe_lower}) {
    if (prefix) {
      if (const size_t end = match(table, text, after, without); end > after) return end;
    }
    if (const size_t end = match(table, text, at, without); end > at) return end;
  }
  return at;
}

size_t o200k_form(const CharTable& table, std::string_view text, size_t at, O200kForm form) {
  if (const size_t end = o200k_word(table, text, at, form.without); end > at) return form.contractions ? contraction(text, end, true) : end;
  if (const size_t end = run_at_most(table, text, at, kNumber, form.most_digits); end > at) return end;
  const size_t mark = at + (text[at] == ' ');
  if (size_t end = run_without(table, text, mark, kSpace | kLetter | kNumber); end > mark) {
    while (end < text.size() && (text[end] == '\r' || text[end] == '\n' || (form.slash && text[end] == '/'))) ++end;
    return end;
  }
  return lines_or_spaces(table, text, at);
}

size_t o200k(const CharTable& table, std::string_view text, size_t at) { return o200k_form(table, text, at, {}); }
size_t tekken(const CharTable& table, std::string_view text, size_t at) { return o200k_form(table, text, at, {false, 1, true, 0}); }
size_t kimi(const CharTable& table, std::string_view text, size_t at) {
  if (const size_t end = run(table, text, at, kHan); end > at) return end;
  return o200k_form(table, text, at, {true, 3, false, kHan});
}

bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

size_t deepseek_v3(const CharTable& table, std::string_view text, size_t at) {
  if (is_ascii_punctuation(static_cast<unsigned char>(text[at])) && at + 1 < text.size() && is_ascii_letter(text[at + 1])) {
    size_t end = at + 1;
    while (end < text.size() && is_ascii_letter(text[end])) ++end;
    return end;
  }
  if (const size_t end = prefixed_run(table, text, at, kNewline | kLetter | kPunctuation | kSymbol, kLetter | kMark); end > at) return end;
  const size_t mark = at + (text[at] == ' ');
  if (const size_t end = run(table, text, mark, kPunctuation | kSymbol); end > mark) return run(table, text, end, kNewline);
  return lines_or_spaces(table, text, at);
}

size_t deepseek_cjk(const CharTable&, std::string_view text, size_t at) {
  while (at < text.size() && static_cast<unsigned char>(text[at]) >= 0xE0) {
    const CodePoint c = decode_utf8(text.data() + at);
    if (!((c.value >= 0x4E00 && c.value <= 0x9FA5) || (c.value >= 0x3040 && c.value <= 0x30FF))) break;
    at += c.bytes;
  }
  return at;
}

template <int kMost>
size_t numbers(const CharTable& table, std::string_view text, size_t at) {
  return kMost > 0 ? run_at_most(table, text, at, kNumber, kMost) : run(table, text, at, kNumber);
}

size_t digits3(const CharTable&, std::string_view text, size_t at) {
  const auto digit = [&](size_t i) { return text[i] >= '0' && text[i] <= '9'; };
  return at + 3 <= text.size() && digit(at) && digit(at + 1) && digit(at + 2) ? at + 3 : at;
}

}  // namespace

namespace regexes {
const std::string_view kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
const std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view kO200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view kTekken = R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
                                 R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
                                 R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view kKimi =
    R"([\p{Han}]+|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view kDeepSeekV3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view kDeepSeekCjk = "[一-龥\xE3\x81\x80-ゟ゠-ヿ]+";
const std::string_view kOneNumber = R"(\p{N})";
const std::string_view kNumberRun = R"(\p{N}+)";
const std::string_view kNumbersOf3 = R"(\p{N}{1,3})";
const std::string_view kDigitsOf3 = "[0-9][0-9][0-9]";
}  // namespace regexes

Scanner known_scanner(std::string_view regex) {
  using namespace regexes;
  // The same class with its quotation mark escaped, as some files have it.
  constexpr std::string_view kDeepSeekV3Escaped =
      R"([!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  const struct {
    std::string_view regex;
    Scanner scanner;
  } known[] = {{kGpt2, gpt2},
               {kLlama3, cl100k<3, kLetter>},
               {kQwen2, cl100k<1, kLetter>},
               {kQwen35, cl100k<1, kLetter | kMark>},
               {kO200k, o200k},
               {kTekken, tekken},
               {kKimi, kimi},
               {kDeepSeekV3, deepseek_v3},
               {kDeepSeekV3Escaped, deepseek_v3},
               {kDeepSeekCjk, deepseek_cjk},
               {kOneNumber, numbers<1>},
               {kNumberRun, numbers<0>},
               {kNumbersOf3, numbers<3>},
               {kDigitsOf3, digits3}};
  for (const auto& row : known)
    if (row.regex == regex) return row.scanner;
  return nullptr;
}

}  // namespace infernum::text
