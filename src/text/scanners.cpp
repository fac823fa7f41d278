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
    if (!(c.bits & Space)) break;
    last = end;
    end += c.bytes;
  }
  return end < text.size() && last > at ? last : end;
}

/// \s*[\r\n]+|\s+(?!\S)|\s+ : up to the last newline of the run of spaces, if it has one.
size_t lines_or_spaces(const CharTable& table, std::string_view text, size_t at) {
  const size_t end = run(table, text, at, Space);
  for (size_t i = end; i > at; --i)
    if (text[i - 1] == '\n' || text[i - 1] == '\r') return i;
  return spaces(table, text, at);
}

size_t gpt2(const CharTable& table, std::string_view text, size_t at) {
  if (const size_t end = contraction(text, at, false); end > at) return end;
  const size_t word = at + (text[at] == ' ');
  if (word < text.size()) {
    const uint16_t bits = class_at(table, text, word).bits;
    if (bits & Letter) return run(table, text, word, Letter);
    if (bits & Number) return run(table, text, word, Number);
    if (!(bits & Space)) return run_without(table, text, word, Space | Letter | Number);
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
template <int most_digits_in_run, uint16_t letter_classes>
size_t cl100k(const CharTable& table, std::string_view text, size_t at) {
  if (const size_t end = contraction(text, at, true); end > at) return end;
  if (const size_t end = prefixed_run(table, text, at, Newline | Letter | Number, letter_classes); end > at) return end;
  if (const size_t end = run_at_most(table, text, at, Number, most_digits_in_run); end > at) return end;
  const size_t mark = at + (text[at] == ' ');
  if (const size_t end = run_without(table, text, mark, Space | Number | letter_classes | Letter); end > mark)
    return run(table, text, end, Newline);
  return lines_or_spaces(table, text, at);
}

struct O200kForm {
  bool contractions = true;
  int most_digits = 3;
  bool slash = true;     // [\r\n/]* instead of [\r\n]*
  uint16_t without = 0;  // taken out of the letter classes
};

constexpr uint16_t upper_side = Upper | OtherCase | Mark;
constexpr uint16_t lower_side = Lower | OtherCase | Mark;

/// U*D+ from `at`. When no D follows the run of U, its last character that is also a D ends the match (what backtracking finds).
size_t upper_then_lower(const CharTable& table, std::string_view text, size_t at, uint16_t without) {
  size_t end = at, both = at;
  while (end < text.size()) {
    const Class c = class_at(table, text, end);
    if (!(c.bits & upper_side) || (c.bits & without)) break;
    end += c.bytes;
    if (c.bits & lower_side) both = end;
  }
  const size_t lower = run(table, text, end, lower_side, without);
  return lower > end ? lower : both;
}

size_t upper_maybe_lower(const CharTable& table, std::string_view text, size_t at, uint16_t without) {
  const size_t end = run(table, text, at, upper_side, without);
  return end > at ? run(table, text, end, lower_side, without) : at;
}

size_t o200k_word(const CharTable& table, std::string_view text, size_t at, uint16_t without) {
  const Class first = class_at(table, text, at);
  const bool prefix = !(first.bits & (Newline | Letter | Number));
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
  if (const size_t end = run_at_most(table, text, at, Number, form.most_digits); end > at) return end;
  const size_t mark = at + (text[at] == ' ');
  if (size_t end = run_without(table, text, mark, Space | Letter | Number); end > mark) {
    while (end < text.size() && (text[end] == '\r' || text[end] == '\n' || (form.slash && text[end] == '/'))) ++end;
    return end;
  }
  return lines_or_spaces(table, text, at);
}

size_t o200k(const CharTable& table, std::string_view text, size_t at) { return o200k_form(table, text, at, {}); }
size_t tekken(const CharTable& table, std::string_view text, size_t at) { return o200k_form(table, text, at, {false, 1, true, 0}); }
size_t kimi(const CharTable& table, std::string_view text, size_t at) {
  if (const size_t end = run(table, text, at, Han); end > at) return end;
  return o200k_form(table, text, at, {true, 3, false, Han});
}

bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

size_t deepseek_v3(const CharTable& table, std::string_view text, size_t at) {
  if (is_ascii_punctuation(static_cast<unsigned char>(text[at])) && at + 1 < text.size() && is_ascii_letter(text[at + 1])) {
    size_t end = at + 1;
    while (end < text.size() && is_ascii_letter(text[end])) ++end;
    return end;
  }
  if (const size_t end = prefixed_run(table, text, at, Newline | Letter | Punctuation | Symbol, Letter | Mark); end > at) return end;
  const size_t mark = at + (text[at] == ' ');
  if (const size_t end = run(table, text, mark, Punctuation | Symbol); end > mark) return run(table, text, end, Newline);
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

template <int most_in_run>
size_t numbers(const CharTable& table, std::string_view text, size_t at) {
  return most_in_run > 0 ? run_at_most(table, text, at, Number, most_in_run) : run(table, text, at, Number);
}

size_t digits3(const CharTable&, std::string_view text, size_t at) {
  const auto digit = [&](size_t i) { return text[i] >= '0' && text[i] <= '9'; };
  return at + 3 <= text.size() && digit(at) && digit(at + 1) && digit(at + 2) ? at + 3 : at;
}

}  // namespace

namespace regexes {
const std::string_view gpt2_regex = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
const std::string_view llama3_regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view qwen2_regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view qwen35_regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view o200k_regex =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view tekken_regex = R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
                                      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
                                      R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view kimi_regex =
    R"([\p{Han}]+|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view deepseek_v3_regex =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view deepseek_cjk_regex = "[一-龥\xE3\x81\x80-ゟ゠-ヿ]+";
const std::string_view one_number = R"(\p{N})";
const std::string_view number_run = R"(\p{N}+)";
const std::string_view numbers_of3 = R"(\p{N}{1,3})";
const std::string_view digits_of3 = "[0-9][0-9][0-9]";
}  // namespace regexes

Scanner known_scanner(std::string_view regex) {
  using namespace regexes;
  // The same class with its quotation mark escaped, as some files have it.
  constexpr std::string_view deep_seek_v3_escaped =
      R"([!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  const struct {
    std::string_view regex;
    Scanner scanner;
  } known[] = {{gpt2_regex, gpt2},
               {llama3_regex, cl100k<3, Letter>},
               {qwen2_regex, cl100k<1, Letter>},
               {qwen35_regex, cl100k<1, Letter | Mark>},
               {o200k_regex, o200k},
               {tekken_regex, tekken},
               {kimi_regex, kimi},
               {deepseek_v3_regex, deepseek_v3},
               {deep_seek_v3_escaped, deepseek_v3},
               {deepseek_cjk_regex, deepseek_cjk},
               {one_number, numbers<1>},
               {number_run, numbers<0>},
               {numbers_of3, numbers<3>},
               {digits_of3, digits3}};
  for (const auto& row : known)
    if (row.regex == regex) return row.scanner;
  return nullptr;
}

}  // namespace infernum::text
