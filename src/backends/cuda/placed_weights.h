// PlacedWeights: which stored bytes already lie on a device, so that a matrix used twice, as embedding and as head, is there once.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

namespace infernum {

class PlacedWeights {
 public:
  /// The device's copy of `bytes` bytes at `data`, kept alive by `owner`; null where there is none any more.
  std::shared_ptr<void> find(const void* data, int64_t bytes, const std::shared_ptr<const void>& owner) const {
    for (const Entry& e : entries_)
      if (e.data == data && e.bytes == bytes && !e.owner.owner_before(owner) && !owner.owner_before(e.owner)) return e.memory.lock();
    return nullptr;
  }

  /// Data without an owner is not remembered: other data may come to lie at its address.
  void remember(const void* data, int64_t bytes, const std::shared_ptr<const void>& owner, const std::shared_ptr<void>& memory) {
    std::erase_if(entries_, [](const Entry& e) { return e.memory.expired(); });
    if (owner) entries_.push_back({data, bytes, owner, memory});
  }

 private:
  struct Entry {
    const void* data;
    int64_t bytes;
    std::weak_ptr<const void> owner;
    std::weak_ptr<void> memory;
  };
  std::vector<Entry> entries_;
};

}  // namespace infernum
