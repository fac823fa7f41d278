// MemoryPool: activation buffers that are kept for the next step instead of returned to the system.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace infernum {

class MemoryPool {
 public:
  /// 64-byte aligned, uninitialised; goes back to the pool when the last owner lets go, also after the pool is gone.
  std::shared_ptr<void> allocate(int64_t bytes);
  int64_t bytes_reserved() const;  ///< in use and kept

 private:
  struct Free;
  std::shared_ptr<Free> free_;
};

}  // namespace infernum
