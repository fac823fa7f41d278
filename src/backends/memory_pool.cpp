#include "backends/memory_pool.h"

#include <bit>
#include <cstdlib>

#include "core/check.h"
#include "core/device_error.h"

namespace infernum {

MemorySource host_memory() {
  return {[](size_t bytes) { return std::aligned_alloc(64, (bytes + 63) / 64 * 64); }, [](void* memory) { std::free(memory); }};
}

struct MemoryPool::Free {
  explicit Free(void (*r)(void*)) : release(r) {}
  void (*release)(void*);
  std::mutex mutex;
  std::map<size_t, std::vector<void*>> by_size;
  int64_t reserved = 0;

  /// A kept buffer of this size; null if there is none.
  void* take(size_t size) {
    std::lock_guard lock(mutex);
    return take_from(by_size.find(size));
  }
  /// The smallest kept buffer of at least this size, which becomes its own.
  void* take_larger(size_t& size) {
    std::lock_guard lock(mutex);
    auto it = by_size.lower_bound(size);
    while (it != by_size.end() && it->second.empty()) ++it;
    if (it != by_size.end()) size = it->first;
    return take_from(it);
  }
  ~Free() {
    for (auto& [size, list] : by_size)
      for (void* p : list) release(p);
  }

 private:
  void* take_from(std::map<size_t, std::vector<void*>>::iterator it) {
    if (it == by_size.end() || it->second.empty()) return nullptr;
    void* memory = it->second.back();
    it->second.pop_back();
    return memory;
  }
};

std::shared_ptr<void> MemoryPool::allocate(int64_t bytes) {
  check(bytes >= 0, "memory pool: a size is not negative", bytes);
  if (!free_) free_ = std::make_shared<Free>(source_.release);
  // Four size classes per power of two: buffers of slightly different batches share, at most a quarter is wasted.
  const size_t wanted = std::max<size_t>(static_cast<size_t>(bytes), 256), step = std::bit_floor(wanted) / 4;
  size_t size = (wanted + step - 1) / step * step;
  void* memory = free_->take(size);
  if (!memory) {
    try {
      memory = source_.allocate(size);
      if (!memory) throw out_of_host_memory(static_cast<int64_t>(size));
      std::lock_guard lock(free_->mutex);
      free_->reserved += static_cast<int64_t>(size);
    } catch (const OutOfMemory&) {
      // A smaller step finds room in what a larger one left here. It cannot be given back: recorded graphs may hold its address.
      memory = free_->take_larger(size);
      if (!memory) throw;
    }
  }
  return {memory, [owner = free_, size](void* p) {
            std::lock_guard lock(owner->mutex);
            owner->by_size[size].push_back(p);
          }};
}

int64_t MemoryPool::bytes_reserved() const {
  if (!free_) return 0;
  std::lock_guard lock(free_->mutex);
  return free_->reserved;
}

}  // namespace infernum
