// MemoryPool: activation buffers that are kept for the next step instead of returned to the system.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace infernum {

/// Where a pool gets memory from; `allocate` returns null, or throws OutOfMemory that says more, when there is none.
struct MemorySource {
  void* (*allocate)(size_t bytes);
  void (*release)(void* memory);
};
MemorySource host_memory();  ///< 64-byte aligned

class MemoryPool {
 public:
  explicit MemoryPool(MemorySource source = host_memory()) : source_(source) {}

  /// As the source aligns it, uninitialised; goes back here when the last owner lets go, also after the pool is gone. Or OutOfMemory.
  std::shared_ptr<void> allocate(int64_t bytes);
  int64_t bytes_reserved() const;  ///< in use and kept

 private:
  struct Free;
  MemorySource source_;
  std::shared_ptr<Free> free_;
};

}  // namespace infernum
