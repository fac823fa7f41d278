// Growth and insertion of the token map.
#include "text/token_map.h"

#include <algorithm>

#include "core/check.h"

namespace infernum::text {

void TokenMap::reserve(size_t count) {
  size_t slots = 16;
  while (slots < count * 2) slots *= 2;
  if (slots > slots_.size()) grow(slots);
}

void TokenMap::grow(size_t slots) {
  std::vector<Slot> old(slots);
  old.swap(slots_);
  mask_ = slots - 1;
  for (const Slot& slot : old) {
    if (slot.id < 0) continue;
    size_t at = hash_bytes(keys_.data() + slot.offset, slot.size) & mask_;
    while (slots_[at].id >= 0) at = (at + 1) & mask_;
    slots_[at] = slot;
  }
}

bool TokenMap::insert(std::string_view key, int32_t id, bool replace) {
  check(id >= 0, "token map: ids are not negative", id);
  if ((count_ + 1) * 2 > slots_.size()) grow(std::max<size_t>(16, slots_.size() * 2));
  const uint64_t hash = hash_bytes(key.data(), key.size());
  size_t at = hash & mask_;
  for (; slots_[at].id >= 0; at = (at + 1) & mask_) {
    Slot& slot = slots_[at];
    if (std::string_view(keys_).substr(slot.offset, slot.size) == key) {
      if (replace) slot.id = id;
      return false;
    }
  }
  check(keys_.size() + key.size() <= UINT32_MAX, "token map: more than 4 GiB of token text", keys_.size());
  slots_[at] = {static_cast<uint32_t>(hash >> 32), static_cast<uint32_t>(keys_.size()), static_cast<uint32_t>(key.size()), id};
  keys_ += key;
  longest_ = std::max(longest_, key.size());
  ++count_;
  return true;
}

}  // namespace infernum::text
