// A compact open-addressing map from token text to id.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace infernum::text {

/// 64-bit hash of short byte strings: multiply and fold, 8 bytes a step (the construction of wyhash).
inline uint64_t hash_bytes(const char* data, size_t size) {
  const auto fold = [](uint64_t a, uint64_t b) {
    const auto product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  };
  uint64_t h = size * 0x9E3779B97F4A7C15ULL;
  uint64_t word = 0;
  for (; size >= 8; data += 8, size -= 8) {
    std::memcpy(&word, data, 8);
    h = fold(h ^ word ^ 0xA0761D6478BD642FULL, 0xE7037ED1A0B428DBULL);
  }
  if (size > 0) {
    word = 0;
    if (size >= 4) {
      uint32_t low, high;
      std::memcpy(&low, data, 4);
      std::memcpy(&high, data + size - 4, 4);
      word = static_cast<uint64_t>(high) << 32 | low;
    } else {
      word = static_cast<uint64_t>(static_cast<unsigned char>(data[0])) << 16 |
             static_cast<uint64_t>(static_cast<unsigned char>(data[size / 2])) << 8 | static_cast<unsigned char>(data[size - 1]);
    }
    h = fold(h ^ word ^ 0x8EBC6AF09C88C6E3ULL, 0x589965CC75374CC3ULL);
  }
  return h ^ h >> 29;
}

/// Text to id. Copies the keys; total key bytes are limited to 4 GiB.
class TokenMap {
 public:
  void reserve(size_t count);
  /// False when the key is there already: its id is then replaced if `replace`.
  bool insert(std::string_view key, int32_t id, bool replace = false);
  /// The id, or -1.
  int32_t find(std::string_view key) const {
    if (slots_.empty()) return -1;
    const uint64_t hash = hash_bytes(key.data(), key.size());
    for (size_t at = hash & mask_;; at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      if (slot.id < 0) return -1;
      if (slot.tag == static_cast<uint32_t>(hash >> 32) && slot.size == key.size() &&
          std::memcmp(keys_.data() + slot.offset, key.data(), key.size()) == 0)
        return slot.id;
    }
  }
  size_t size() const { return count_; }
  size_t longest() const { return longest_; }

 private:
  struct Slot {
    uint32_t tag = 0, offset = 0, size = 0;
    int32_t id = -1;
  };
  void grow(size_t slots);

  std::vector<Slot> slots_;
  std::string keys_;
  size_t mask_ = 0, count_ = 0, longest_ = 0;
};

}  // namespace infernum::text
