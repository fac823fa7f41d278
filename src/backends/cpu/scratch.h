// Scratch: one growing buffer that the kernels of a queue share; what it holds is lost at the next kernel.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace infernum {

class Scratch {
 public:
  static constexpr std::size_t alignment = 64;

  /// At least `bytes` bytes, 64-byte aligned, contents undefined. Invalidates what an earlier call returned.
  std::byte* get(std::size_t bytes) {
    if (bytes > bytes_) {
      bytes_ = 0;
      buffer_.reset();
      buffer_.reset(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{alignment})));
      bytes_ = bytes;
    }
    return buffer_.get();
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{alignment}); }
  };
  std::unique_ptr<std::byte, Free> buffer_;
  std::size_t bytes_ = 0;
};

/// Carves consecutive 64-byte aligned arrays out of one buffer; with a null base it only adds up the sizes.
class Carver {
 public:
  explicit Carver(std::byte* base) : base_(base) {}
  template <class T>
  T* take(int64_t count) {
    std::byte* here = base_ ? base_ + used_ : nullptr;
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + Scratch::alignment - 1) / Scratch::alignment * Scratch::alignment;
    return reinterpret_cast<T*>(here);
  }
  std::size_t bytes() const { return used_; }

 private:
  std::byte* base_;
  std::size_t used_ = 0;
};

}  // namespace infernum
