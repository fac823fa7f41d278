#include "server/json_writer.h"

#include <array>
#include <charconv>
#include <cmath>

#include "text/unicode.h"

namespace infernum::server {
namespace {

/// Which bytes cannot stand for themselves. 0xC2 begins the C1 controls, 0xE2 U+2028 and U+2029, and both much else.
constexpr std::array<bool, 256> make_special() {
  std::array<bool, 256> special{};
  for (size_t i = 0; i < 0x20; i++) special[i] = true;
  special['"'] = special['\\'] = special[0x7F] = special[0xC2] = special[0xE2] = true;
  return special;
}
constexpr auto special_characters = make_special();

void append_control(std::string& out, unsigned char c) {
  constexpr std::string_view digits = "0123456789abcdef";
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    case '\b': out += "\\b"; return;
    case '\f': out += "\\f"; return;
    default:
      out += "\\u00";
      out += digits[c >> 4];
      out += digits[c & 15];
  }
}

template <class T>
void append_shortest(std::string& out, T value) {
  if (std::isnan(value)) {
    out += "null";
    return;
  }
  if (std::isinf(value)) {
    out += value < 0 ? "-9999.0" : "9999.0";
    return;
  }
  std::array<char, 40> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out.append(digits.data(), end);
}

}  // namespace

void append_escaped(std::string& out, std::string_view text) {
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); i++) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (!special_characters[c]) [[likely]]
      continue;
    if (c == 0xE2) {
      const bool separator = text.size() - i >= 3 && text[i + 1] == '\x80' && (text[i + 2] == '\xA8' || text[i + 2] == '\xA9');
      if (!separator) continue;
      out.append(text, begin, i - begin);
      out += text[i + 2] == '\xA8' ? "\\u2028" : "\\u2029";
      i += 2;
    } else if (c == 0xC2) {
      const bool control = i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
      if (!control) continue;
      out.append(text, begin, i - begin);
      append_control(out, static_cast<unsigned char>(text[++i]));
    } else {
      out.append(text, begin, i - begin);
      append_control(out, c);
    }
    begin = i + 1;
  }
  out.append(text, begin, text.size() - begin);
}

void append_untrusted_string(std::string& out, std::string_view bytes) { append_string(out, text::to_valid_utf8(bytes)); }

void append_string(std::string& out, std::string_view text) {
  out += '"';
  append_escaped(out, text);
  out += '"';
}

void append_number(std::string& out, int64_t value) {
  std::array<char, 24> digits;
  out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr);
}

void append_number(std::string& out, float value) { append_shortest(out, value); }
void append_number(std::string& out, double value) { append_shortest(out, value); }

void JsonWriter::separate() {
  if (!first_) out_ += ',';
  first_ = false;
}

JsonWriter& JsonWriter::open(char bracket) {
  separate();
  out_ += bracket;
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  out_ += bracket;
  first_ = false;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  separate();
  append_string(out_, name);
  out_ += ':';
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::string(std::string_view text) {
  separate();
  append_string(out_, text);
  return *this;
}

JsonWriter& JsonWriter::number(int64_t value) {
  separate();
  append_number(out_, value);
  return *this;
}

JsonWriter& JsonWriter::number(double value) {
  separate();
  append_number(out_, value);
  return *this;
}

JsonWriter& JsonWriter::number(float value) {
  separate();
  append_number(out_, value);
  return *this;
}

JsonWriter& JsonWriter::raw(std::string_view json) {
  separate();
  out_ += json;
  return *this;
}

}  // namespace infernum::server
