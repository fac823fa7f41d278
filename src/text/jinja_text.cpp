// Code points, cases and provenance of the template interpreter's text.
#include "text/jinja_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace infernum::jinja {

bool Text::has_input(size_t begin, size_t end) const {
  auto first = std::upper_bound(input.begin(), input.end(), begin, [](size_t at, const Range& r) { return at < r.end; });
  return begin < end && first != input.end() && first->begin < end;
}

void Text::append(std::string_view text, bool from_input) {
  if (text.empty()) return;
  const size_t begin = bytes.size();
  bytes += text;
  if (!from_input) return;
  if (!input.empty() && input.back().end == begin)
    input.back().end = bytes.size();
  else
    input.push_back({begin, bytes.size()});
}

void Text::append(const Text& text, size_t begin, size_t end) {
  if (begin >= end) return;
  const size_t base = bytes.size();
  bytes.append(text.bytes, begin, end - begin);
  auto range = std::upper_bound(text.input.begin(), text.input.end(), begin, [](size_t at, const Range& r) { return at < r.end; });
  for (; range != text.input.end() && range->begin < end; ++range) {
    const Range moved{base + std::max(range->begin, begin) - begin, base + std::min(range->end, end) - begin};
    if (!input.empty() && input.back().end == moved.begin)
      input.back().end = moved.end;
    else
      input.push_back(moved);
  }
}

Text Text::slice(size_t begin, size_t end) const {
  Text out;
  out.append(*this, begin, end);
  return out;
}

bool Characters::next(Character& c) {
  if (at_ >= text_.size()) return false;
  c.begin = at_;
  c.code = decode(text_.bytes, at_);
  c.end = at_;
  while (range_ < text_.input.size() && text_.input[range_].end <= c.begin) range_++;
  c.input = range_ < text_.input.size() && text_.input[range_].begin < c.end;
  return true;
}

char32_t decode(std::string_view text, size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return at++, lead;
  utf8proc_int32_t code = -1;
  const auto rest = static_cast<utf8proc_ssize_t>(std::min<size_t>(text.size() - at, 4));
  const auto used = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data() + at), rest, &code);
  if (used <= 0) return at++, invalid_byte;
  at += static_cast<size_t>(used);
  return static_cast<char32_t>(code);
}

std::string encode(char32_t code) {
  if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) code = 0xFFFD;
  utf8proc_uint8_t out[4];
  const auto used = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), out);
  return std::string(reinterpret_cast<const char*>(out), static_cast<size_t>(used));
}

size_t count_characters(std::string_view text) {
  size_t n = 0;
  for (size_t at = 0; at < text.size(); n++) decode(text, at);
  return n;
}

std::vector<size_t> character_offsets(std::string_view text) {
  std::vector<size_t> offsets;
  offsets.reserve(text.size() + 1);
  for (size_t at = 0; at < text.size(); decode(text, at)) offsets.push_back(at);
  offsets.push_back(text.size());
  return offsets;
}

namespace {
utf8proc_category_t category(char32_t code) {
  return code == invalid_byte ? UTF8PROC_CATEGORY_CN : utf8proc_category(static_cast<utf8proc_int32_t>(code));
}
}  // namespace

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
         c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}
bool is_line_end(char32_t c) { return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029; }
bool is_printable(char32_t code) {
  if (code == ' ') return true;
  switch (category(code)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
  }
}
bool is_letter(char32_t code) {
  const auto c = category(code);
  return c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LL || c == UTF8PROC_CATEGORY_LT || c == UTF8PROC_CATEGORY_LM ||
         c == UTF8PROC_CATEGORY_LO;
}
bool is_digit(char32_t code) { return category(code) == UTF8PROC_CATEGORY_ND; }
bool is_upper(char32_t code) { return category(code) == UTF8PROC_CATEGORY_LU; }
bool is_lower(char32_t code) { return category(code) == UTF8PROC_CATEGORY_LL; }

void append_cased(Text& out, const Text& text, const Character& c, Case wanted) {
  if (c.code == invalid_byte) return out.append(text, c.begin, c.end);
  if (c.code == 0xDF && wanted == Case::Upper) return out.append("SS", c.input);
  const auto code = static_cast<utf8proc_int32_t>(c.code);
  const auto mapped = wanted == Case::Upper ? utf8proc_toupper(code) : utf8proc_tolower(code);
  if (mapped == code) return out.append(text, c.begin, c.end);
  out.append(encode(static_cast<char32_t>(mapped)), c.input);
}

Text to_case(const Text& text, Case wanted) {
  Text out;
  Character c;
  for (Characters walk(text); walk.next(c);) append_cased(out, text, c, wanted);
  return out;
}

Text capitalize(const Text& text) {
  Text out;
  Character c;
  for (Characters walk(text); walk.next(c);) append_cased(out, text, c, c.begin == 0 ? Case::Upper : Case::Lower);
  return out;
}

Text to_title(const Text& text, Words words) {
  Text out;
  Character c;
  bool inside = false;
  for (Characters walk(text); walk.next(c);) {
    append_cased(out, text, c, inside ? Case::Lower : Case::Upper);
    if (words == Words::Letters)
      inside = is_letter(c.code);
    else
      inside = !is_space(c.code) && c.code != '-' && c.code != '(' && c.code != '{' && c.code != '[' && c.code != '<';
  }
  return out;
}

Text strip(const Text& text, const Text* characters, bool left, bool right) {
  std::vector<char32_t> set;
  if (characters)
    for (size_t at = 0; at < characters->size();) set.push_back(decode(characters->bytes, at));
  auto drops = [&](char32_t code) { return characters ? std::find(set.begin(), set.end(), code) != set.end() : is_space(code); };
  size_t begin = 0, end = text.size();
  while (left && begin < end) {
    size_t next = begin;
    if (!drops(decode(text.bytes, next))) break;
    begin = next;
  }
  while (right && begin < end) {
    size_t last = end - 1;
    while (last > begin && end - last < 4 && (static_cast<unsigned char>(text.bytes[last]) & 0xC0) == 0x80) last--;
    size_t next = last;
    char32_t code = decode(text.bytes, next);
    if (next != end) last = end - 1, code = invalid_byte;
    if (!drops(code)) break;
    end = last;
  }
  return text.slice(begin, end);
}

Text replace(const Text& text, const Text& from, const Text& to, long long count, size_t max_bytes) {
  Text out;
  size_t at = 0;
  auto insert = [&](size_t begin, size_t end) {
    if (text.has_input(begin, end))
      out.append(to.bytes, true);
    else
      out.append(to);
  };
  if (from.empty()) {  // before every character and at the end, as Python does
    Character c;
    for (Characters walk(text); count != 0 && out.size() <= max_bytes && walk.next(c); count--) {
      insert(0, 0);
      out.append(text, c.begin, c.end);
      at = c.end;
    }
    if (count != 0 && at == text.size()) insert(0, 0);
    out.append(text, at, text.size());
    return out;
  }
  for (; count != 0 && out.size() <= max_bytes; count--) {
    const size_t hit = text.bytes.find(from.bytes, at);
    if (hit == std::string::npos) break;
    out.append(text, at, hit);
    insert(hit, hit + from.size());
    at = hit + from.size();
  }
  out.append(text, at, text.size());
  return out;
}

namespace {

std::vector<Text> split_blanks(const Text& text, long long max_splits) {
  std::vector<Text> parts;
  size_t at = 0;
  auto skip = [&](bool blanks) {
    while (at < text.size()) {
      size_t next = at;
      if (is_space(decode(text.bytes, next)) != blanks) break;
      at = next;
    }
  };
  for (skip(true); at < text.size(); skip(true)) {
    const size_t begin = at;
    if (max_splits >= 0 && static_cast<long long>(parts.size()) == max_splits) {
      parts.push_back(text.slice(begin, text.size()));
      break;
    }
    skip(false);
    parts.push_back(text.slice(begin, at));
  }
  return parts;
}

}  // namespace

std::vector<Text> split(const Text& text, const Text* separator, long long max_splits) {
  if (!separator) return split_blanks(text, max_splits);
  std::vector<Text> parts;
  size_t at = 0;
  while (max_splits < 0 || static_cast<long long>(parts.size()) < max_splits) {
    const size_t hit = text.bytes.find(separator->bytes, at);
    if (hit == std::string::npos) break;
    parts.push_back(text.slice(at, hit));
    at = hit + separator->size();
  }
  parts.push_back(text.slice(at, text.size()));
  return parts;
}

std::vector<Text> split_from_right(const Text& text, const Text* separator, long long max_splits) {
  if (max_splits < 0) return split(text, separator, max_splits);
  std::vector<Text> parts;
  size_t end = text.size();
  if (!separator) {  // all words, then glue the first ones together again as they stood
    auto words = split_blanks(text, -1);
    const auto keep = static_cast<size_t>(std::min<long long>(max_splits, static_cast<long long>(words.size())));
    Text head = text;
    for (size_t i = 0; i < keep; i++) {
      head = strip(head, nullptr, false, true);
      head = head.slice(0, head.size() - words[words.size() - 1 - i].size());
    }
    head = strip(head, nullptr, true, true);
    if (!head.empty()) parts.push_back(std::move(head));
    parts.insert(parts.end(), words.end() - static_cast<std::ptrdiff_t>(keep), words.end());
    return parts;
  }
  while (static_cast<long long>(parts.size()) < max_splits && end >= separator->size()) {
    const size_t hit = text.bytes.rfind(separator->bytes, end - separator->size());
    if (hit == std::string::npos) break;
    parts.push_back(text.slice(hit + separator->size(), end));
    end = hit;
  }
  parts.push_back(text.slice(0, end));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<Text> split_lines(const Text& text, bool keep_ends) {
  std::vector<Text> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t stop = at;
    const char32_t code = decode(text.bytes, at);
    if (!is_line_end(code)) continue;
    if (code == '\r' && at < text.size() && text.bytes[at] == '\n') at++;
    lines.push_back(text.slice(begin, keep_ends ? at : stop));
    begin = at;
  }
  if (begin < text.size()) lines.push_back(text.slice(begin, text.size()));
  return lines;
}

Text escape_html(const Text& text) {
  Text out;
  out.markup = true;
  if (text.markup) return text;
  Character c;
  for (Characters walk(text); walk.next(c);) {
    static constexpr std::pair<char32_t, const char*> entities[] = {
        {'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&#34;"}, {'\'', "&#39;"}};
    auto entity = std::find_if(std::begin(entities), std::end(entities), [&](auto& e) { return e.first == c.code; });
    if (entity != std::end(entities))
      out.append(entity->second, c.input);
    else
      out.append(text, c.begin, c.end);
  }
  return out;
}

void append_quoted(Text& out, const Text& text) {
  const bool single = text.bytes.find('\'') == std::string::npos || text.bytes.find('"') != std::string::npos;
  const char quote = single ? '\'' : '"';
  out.append(std::string_view(&quote, 1));
  Character c;
  for (Characters walk(text); walk.next(c);) {
    char escape[16] = "";
    if (c.code == static_cast<char32_t>(quote) || c.code == '\\')
      std::snprintf(escape, sizeof escape, "\\%c", static_cast<char>(c.code));
    else if (c.code == '\n')
      std::snprintf(escape, sizeof escape, "\\n");
    else if (c.code == '\r')
      std::snprintf(escape, sizeof escape, "\\r");
    else if (c.code == '\t')
      std::snprintf(escape, sizeof escape, "\\t");
    else if (c.code == invalid_byte || is_printable(c.code))
      escape[0] = 0;
    else if (c.code < 0x100)
      std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(c.code));
    else if (c.code < 0x10000)
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c.code));
    else
      std::snprintf(escape, sizeof escape, "\\U%08x", static_cast<unsigned>(c.code));
    if (escape[0])
      out.append(escape, c.input);
    else
      out.append(text, c.begin, c.end);
  }
  out.append(std::string_view(&quote, 1));
}

}  // namespace infernum::jinja
