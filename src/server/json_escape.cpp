#include "server/json_escape.h"

#include <algorithm>

#include "text/unicode.h"

namespace infernum::server {

void append_json_string(std::string& out, std::string_view text) {
  constexpr char hex[] = "0123456789abcdef";
  const auto escape = [&out, &hex](unsigned code) {
    out += "\\u00";
    out += hex[code >> 4 & 15];
    out += hex[code & 15];
  };
  std::string repaired;
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) {
    repaired = text::to_valid_utf8(text);
    text = repaired;
  }
  out += '"';
  for (size_t i = 0; i < text.size(); i++) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += text[i];
    } else if (c == '\n') {
      out += "\\n";
    } else if (c < 0x20 || c == 0x7f) {
      escape(c);
    } else if (c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0) {
      escape(static_cast<unsigned char>(text[++i]));  // U+0080..U+009F
    } else {
      out += text[i];
    }
  }
  out += '"';
}

}  // namespace infernum::server
