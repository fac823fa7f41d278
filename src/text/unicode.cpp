// Class tables from utf8proc, UTF-8 checks and normal forms.
#include "text/unicode.h"

#include <simdjson.h>
#include <utf8proc.h>

#include <algorithm>
#include <map>

#include "core/check.h"

namespace infernum::text {
namespace {

struct Range {
  char32_t first, last;
};

// Unicode 15 Scripts.txt, Script=Han; utf8proc carries no scripts.
constexpr Range han_ranges[] = {{0x2E80, 0x2E99},   {0x2E9B, 0x2EF3},   {0x2F00, 0x2FD5},   {0x3005, 0x3005},   {0x3007, 0x3007},
                                {0x3021, 0x3029},   {0x3038, 0x303B},   {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFA6D},
                                {0xFA70, 0xFAD9},   {0x16FE2, 0x16FE3}, {0x16FF0, 0x16FF1}, {0x20000, 0x2A6DF}, {0x2A700, 0x2B739},
                                {0x2B740, 0x2B81D}, {0x2B820, 0x2CEA1}, {0x2CEB0, 0x2EBE0}, {0x2F800, 0x2FA1D}, {0x30000, 0x3134A},
                                {0x31350, 0x323AF}};
// PropList.txt, White_Space.
constexpr Range space_ranges[] = {{0x09, 0x0D},     {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},     {0x1680, 0x1680},
                                  {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}};
// Alphabetic symbols (circled letters) and the joiners: \w beyond the general categories.
constexpr Range extra_word_ranges[] = {{0x200C, 0x200D}, {0x24B6, 0x24E9}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};

template <size_t N>
bool in_ranges(char32_t c, const Range (&ranges)[N]) {
  return std::any_of(std::begin(ranges), std::end(ranges), [c](const Range& r) { return c >= r.first && c <= r.last; });
}

uint16_t class_of_category(utf8proc_category_t category) {
  switch (category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LT: return Letter | Upper | Word;
    case UTF8PROC_CATEGORY_LL: return Letter | Lower | Word;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return Letter | OtherCase | Word;
    case UTF8PROC_CATEGORY_MN: return Mark | Nonspacing | Word;
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return Mark | Word;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL: return Number | Word;
    case UTF8PROC_CATEGORY_NO: return Number;
    case UTF8PROC_CATEGORY_PC: return Punctuation | Word;
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO: return Punctuation;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO: return Symbol;
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO: return Control;
    default: return 0;
  }
}

uint16_t classes_of(char32_t c) {
  uint16_t bits = class_of_category(utf8proc_category(static_cast<utf8proc_int32_t>(c)));
  if (in_ranges(c, space_ranges)) bits |= Space;
  if (in_ranges(c, extra_word_ranges)) bits |= Word;
  if (c >= 0x2E80 && in_ranges(c, han_ranges)) bits |= Han;
  if (c == '\r' || c == '\n') bits |= Newline;
  return bits;
}

}  // namespace

CharTable::CharTable() : index_(0x1100) {
  std::map<std::vector<uint16_t>, uint16_t> known;
  std::vector<uint16_t> page(256);
  for (char32_t p = 0; p < 0x1100; ++p) {
    for (char32_t i = 0; i < 256; ++i) page[i] = classes_of(p << 8 | i);
    const auto [at, fresh] = known.try_emplace(page, static_cast<uint16_t>(known.size()));
    if (fresh) pages_.insert(pages_.end(), page.begin(), page.end());
    index_[p] = at->second;
  }
}

const CharTable& CharTable::get() {
  static const CharTable table;
  return table;
}

void append_utf8(std::string& out, char32_t c) {
  utf8proc_uint8_t buffer[4];
  out.append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), buffer)));
}

bool is_valid_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

size_t count_code_points(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

Utf8Unit next_utf8_unit(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned lead = at(0);
  if (lead < 0x80) return {Utf8Unit::Character, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Utf8Unit::IllFormed, 1};
  const uint32_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte's range excludes overlong forms, surrogates and values above U+10FFFF.
  unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (uint32_t i = 1; i < length; ++i, low = 0x80, high = 0xBF) {
    if (i >= bytes.size()) return {Utf8Unit::Incomplete, i};
    if (at(i) < low || at(i) > high) return {Utf8Unit::IllFormed, i};
  }
  return {Utf8Unit::Character, length};
}

std::string to_valid_utf8(std::string_view bytes) {
  if (is_valid_utf8(bytes)) return std::string(bytes);
  std::string out;
  out.reserve(bytes.size() + 16);
  while (!bytes.empty()) {
    const Utf8Unit unit = next_utf8_unit(bytes);
    out += unit.kind == Utf8Unit::Character ? bytes.substr(0, unit.bytes) : replacement_character;
    bytes.remove_prefix(unit.bytes);
  }
  return out;
}

void append_normalized(std::string& out, std::string_view text, NormalForm form) {
  const bool compose = form == NormalForm::NFC || form == NormalForm::NFKC;
  const bool compat = form == NormalForm::NFKC || form == NormalForm::NFKD;
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compat ? UTF8PROC_COMPAT : 0));
  std::vector<utf8proc_int32_t> points;
  points.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text.data() + at);
    at += c.bytes;
    utf8proc_int32_t parts[32];  // the longest decomposition, U+FDFA, has 18
    int boundary = 0;
    const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c.value), parts, 32, options, &boundary);
    check(n >= 0 && n <= 32, "normalize: a code point does not decompose", static_cast<unsigned long>(c.value));
    points.insert(points.end(), parts, parts + n);
  }
  // Canonical order. utf8proc's own sort is quadratic in the length of a run of marks.
  const auto rank = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
  for (size_t i = 0; i < points.size();) {
    size_t end = i;
    while (end < points.size() && rank(points[end]) != 0) ++end;
    if (end - i > 1)
      std::stable_sort(points.begin() + static_cast<long>(i), points.begin() + static_cast<long>(end),
                       [&](auto a, auto b) { return rank(a) < rank(b); });
    i = end + 1;
  }
  auto length = static_cast<utf8proc_ssize_t>(points.size());
  if (compose) length = utf8proc_normalize_utf32(points.data(), length, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  for (utf8proc_ssize_t i = 0; i < length; ++i) append_utf8(out, static_cast<char32_t>(points[static_cast<size_t>(i)]));
}

void append_lower(std::string& out, char32_t c) {
  if (c == 0x130) {  // the only unconditional mapping to two characters
    out += "i\xCC\x87";
    return;
  }
  append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

size_t grapheme_end(std::string_view text, size_t begin) {
  CodePoint last = decode_utf8(text.data() + begin);
  size_t at = begin + last.bytes;
  utf8proc_int32_t state = 0;
  while (at < text.size()) {
    const CodePoint c = decode_utf8(text.data() + at);
    if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(last.value), static_cast<utf8proc_int32_t>(c.value), &state)) break;
    last = c;
    at += c.bytes;
  }
  return at;
}

}  // namespace infernum::text
