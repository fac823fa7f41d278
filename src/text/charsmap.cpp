// Lookups in the double array; every index in it is untrusted.
#include "text/charsmap.h"

#include <cstring>

#include "core/check.h"
#include "text/unicode.h"

namespace infernum::text {
namespace {

size_t offset_of(uint32_t unit) { return static_cast<size_t>(unit >> 10) << ((unit & 0x200) >> 6); }

}  // namespace

Charsmap::Charsmap(std::string_view blob) {
  uint32_t trie_bytes = 0;
  check(blob.size() >= 4, "precompiled_charsmap: shorter than its size field", blob.size());
  std::memcpy(&trie_bytes, blob.data(), 4);
  check(trie_bytes % 4 == 0 && trie_bytes >= 4 && trie_bytes <= blob.size() - 4, "precompiled_charsmap: the trie does not fit", trie_bytes,
        "of", blob.size());
  units_.resize(trie_bytes / 4);
  std::memcpy(units_.data(), blob.data() + 4, trie_bytes);
  strings_ = blob.substr(4 + trie_bytes);
  check(is_valid_utf8(strings_), "precompiled_charsmap: replacement strings are not UTF-8", strings_.size());
}

std::string_view Charsmap::replacement(uint32_t offset) const {
  check(offset < strings_.size() && !is_continuation(strings_[offset]), "precompiled_charsmap: bad string offset", offset, "of",
        strings_.size());
  const std::string_view rest = std::string_view(strings_).substr(offset);
  return rest.substr(0, rest.find('\0'));
}

Charsmap::Match Charsmap::find(std::string_view text, bool first) const {
  const auto unit = [&](size_t at) {
    check(at < units_.size(), "precompiled_charsmap: index outside of the trie", at, "of", units_.size());
    return units_[at];
  };
  size_t at = offset_of(units_[0]);
  size_t bytes = 0;
  uint32_t value = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == 0) break;
    at ^= c;
    if (at >= units_.size()) break;
    const uint32_t u = units_[at];
    if ((u & 0x800000FF) != c) break;
    at ^= offset_of(u);
    if (u >> 8 & 1) {
      bytes = i + 1;
      value = unit(at) & 0x7FFFFFFF;
      if (first) break;
    }
  }
  if (bytes == 0) return {};
  return {bytes, replacement(value)};
}

std::string decode_base64(std::string_view text) {
  std::string out;
  out.reserve(text.size() / 4 * 3);
  uint32_t buffer = 0;
  int bits = 0;
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  for (const char c : text) {
    const int value = c >= 'A' && c <= 'Z'   ? c - 'A'
                      : c >= 'a' && c <= 'z' ? c - 'a' + 26
                      : c >= '0' && c <= '9' ? c - '0' + 52
                      : c == '+'             ? 62
                      : c == '/'             ? 63
                                             : -1;
    check(value >= 0, "base64: not a base64 character", static_cast<int>(static_cast<unsigned char>(c)));
    buffer = (buffer << 6 | static_cast<uint32_t>(value)) & 0xFFFFFF;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out.push_back(static_cast<char>(buffer >> bits & 0xFF));
    }
  }
  return out;
}

}  // namespace infernum::text
