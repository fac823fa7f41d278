// Code points, their classes, and UTF-8: what the tokenizers need of Unicode.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace infernum::text {

/// Classes of a code point, one bit each.
enum CharClass : uint16_t {
  Letter = 1 << 0,
  Number = 1 << 1,
  Space = 1 << 2,  // White_Space
  Mark = 1 << 3,
  Upper = 1 << 4,        // Lu Lt
  Lower = 1 << 5,        // Ll
  OtherCase = 1 << 6,    // Lm Lo
  Punctuation = 1 << 7,  // \p{P}
  Symbol = 1 << 8,
  Word = 1 << 9,  // \w of UTS 18: alphabetic, marks, Nd, Pc, joiners
  Han = 1 << 10,
  Control = 1 << 11,     // Cc Cf Co
  Nonspacing = 1 << 12,  // Mn
  Newline = 1 << 13,     // \r \n
};

/// The classes of every code point in two levels; built once from utf8proc (Unicode 15).
class CharTable {
 public:
  static const CharTable& get();
  uint16_t operator[](char32_t c) const { return c < 0x110000 ? pages_[(index_[c >> 8] << 8) | (c & 0xFF)] : 0; }

 private:
  CharTable();
  std::vector<uint16_t> index_;
  std::vector<uint16_t> pages_;
};

inline bool is_ascii_punctuation(char32_t c) {
  return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
}

/// One code point of valid UTF-8.
struct CodePoint {
  char32_t value;
  uint32_t bytes;
};

inline CodePoint decode_utf8(const char* text) {
  const auto byte = [&](int i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}

inline uint32_t utf8_bytes(char lead) {
  const auto b = static_cast<unsigned char>(lead);
  return b < 0x80 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
}

inline bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

void append_utf8(std::string& out, char32_t c);
bool is_valid_utf8(std::string_view text);
bool is_ascii(std::string_view text);
size_t count_code_points(std::string_view text);

/// The next unit of arbitrary bytes: a character, a maximal ill-formed subpart (Unicode 3.9, as WHATWG decoders cut), or a character cut
/// off by the end.
struct Utf8Unit {
  enum Kind { Character, IllFormed, Incomplete } kind;
  uint32_t bytes;
};
Utf8Unit next_utf8_unit(std::string_view bytes);

inline constexpr std::string_view replacement_character = "\xEF\xBF\xBD";
inline constexpr std::string_view metaspace_mark = "\xE2\x96\x81";  // U+2581

/// Every maximal ill-formed subpart becomes U+FFFD.
std::string to_valid_utf8(std::string_view bytes);

enum class NormalForm { NFC, NFD, NFKC, NFKD };
/// Appends the normal form of valid UTF-8; n log n even for runs of combining marks.
void append_normalized(std::string& out, std::string_view text, NormalForm form);
/// The full lower-case mapping without context (no final sigma), as Unicode's per-character tables give it.
void append_lower(std::string& out, char32_t c);
/// End of the extended grapheme cluster that starts at `begin`.
size_t grapheme_end(std::string_view text, size_t begin);

}  // namespace infernum::text
