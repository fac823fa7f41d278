// SentencePiece's precompiled_charsmap: a Darts double array from text to replacement text.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace infernum::text {

class Charsmap {
 public:
  /// Throws Error when the sizes do not fit. Array indexes and string offsets are checked at every step of a lookup.
  explicit Charsmap(std::string_view blob);

  struct Match {
    size_t bytes = 0;  // length of the matched prefix, 0 = none
    std::string_view replacement;
  };
  Match shortest(std::string_view text) const { return find(text, true); }
  Match longest(std::string_view text) const { return find(text, false); }

 private:
  Match find(std::string_view text, bool first) const;
  std::string_view replacement(uint32_t offset) const;

  std::vector<uint32_t> units_;
  std::string strings_;
};

/// Standard base64 with padding. Throws Error on other characters.
std::string decode_base64(std::string_view text);

}  // namespace infernum::text
