// The byte-level alphabet of GPT-2: every byte as a printable character.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace infernum::text {

/// 0x21-7E, A1-AC, AE-FF stand for themselves; the other 68 bytes are U+0100, U+0101, ... in rising order.
class ByteAlphabet {
 public:
  static const ByteAlphabet& get();
  char32_t character(uint8_t byte) const { return characters_[byte]; }
  /// The byte a character stands for, or -1.
  int byte(char32_t character) const { return character < bytes_.size() ? bytes_[character] : -1; }

  void append_characters(std::string& out, std::string_view bytes) const;
  /// False, with out unchanged, when a character lies outside the alphabet.
  bool append_bytes(std::string& out, std::string_view characters) const;

 private:
  ByteAlphabet();
  std::array<char32_t, 256> characters_;
  std::array<int16_t, 0x144> bytes_;
};

/// The byte of a "<0xXX>" token, or -1.
int parse_byte_token(std::string_view token);
/// "<0xXX>" with two upper-case digits.
std::string byte_token(uint8_t byte);

}  // namespace infernum::text
