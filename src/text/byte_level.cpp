// The byte-level alphabet and the spelling of byte-fallback tokens.
#include "text/byte_level.h"

#include "text/unicode.h"

namespace infernum::text {

ByteAlphabet::ByteAlphabet() {
  bytes_.fill(-1);
  char32_t next = 0x100;
  for (int b = 0; b < 256; ++b) {
    const bool itself = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    const char32_t c = itself ? static_cast<char32_t>(b) : next++;
    characters_[static_cast<size_t>(b)] = c;
    bytes_[c] = static_cast<int16_t>(b);
  }
}

const ByteAlphabet& ByteAlphabet::get() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

void ByteAlphabet::append_characters(std::string& out, std::string_view bytes) const {
  for (const char b : bytes) append_utf8(out, characters_[static_cast<unsigned char>(b)]);
}

bool ByteAlphabet::append_bytes(std::string& out, std::string_view characters) const {
  const size_t before = out.size();
  for (size_t at = 0; at < characters.size();) {
    const CodePoint c = decode_utf8(characters.data() + at);
    const int value = byte(c.value);
    if (value < 0) {
      out.resize(before);
      return false;
    }
    out.push_back(static_cast<char>(value));
    at += c.bytes;
  }
  return true;
}

namespace {
int hex_digit(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
}  // namespace

int parse_byte_token(std::string_view token) {
  if (token.size() != 6 || token.substr(0, 3) != "<0x" || token[5] != '>') return -1;
  const int high = hex_digit(token[3]), low = hex_digit(token[4]);
  return high < 0 || low < 0 ? -1 : high << 4 | low;
}

std::string byte_token(uint8_t byte) {
  constexpr char digits[] = "0123456789ABCDEF";
  return {'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
}

}  // namespace infernum::text
