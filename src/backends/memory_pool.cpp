#include "backends/memory_pool.h"

#include <bit>
#include <cstdlib>
#include <new>

#include "core/check.h"

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
  ~Free() {
    for (auto& [size, list] : by_size)
      for (void* p : list) release(p);
  }
};

std::shared_ptr<void> MemoryPool::allocate(int64_t bytes) {
  check(bytes >= 0, "memory pool: a size is not negative", bytes);
  if (!free_) free_ = std::make_shared<Free>(source_.release);
  // Four size classes per power of two: buffers of slightly different batches share, at most a quarter is wasted.
  const size_t wanted = std::max<size_t>(static_cast<size_t>(bytes), 256), step = std::bit_floor(wanted) / 4;
  const size_t size = (wanted + step - 1) / step * step;
  void* memory = nullptr;
  {
    std::lock_guard lock(free_->mutex);
    if (auto& list = free_->by_size[size]; !list.empty()) {
      memory = list.back();
      list.pop_back();
    }
  }
  if (!memory) {
    memory = source_.allocate(size);
    if (!memory) throw std::bad_alloc();
    std::lock_guard lock(free_->mutex);
    free_->reserved += static_cast<int64_t>(size);
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
