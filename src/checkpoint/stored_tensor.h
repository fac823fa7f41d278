// A tensor as a checkpoint stores it: bytes in place, usually inside a mapped file.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/dtype.h"
#include "core/shape.h"

namespace infernum {

class MappedFile;

struct StoredTensor {
  std::string name;  ///< Hugging Face spelling
  DType dtype = DType::F32;
  Shape shape;                      ///< outermost first: a Linear is (out, in)
  const std::byte* data = nullptr;  ///< row-major; old files may be unaligned, see aligned(). Null: not in the file (headers only)
  int64_t bytes = 0;
  std::shared_ptr<const void> owner;  ///< keeps `data` alive
  const MappedFile* file = nullptr;   ///< the mapped file that holds `data`, for page advice; null when it is in plain memory

  std::span<const std::byte> span() const { return {data, static_cast<size_t>(bytes)}; }
};

/// The tensor itself when `data` is a multiple of `alignment`, else a copy in memory of its own.
StoredTensor aligned(const StoredTensor& tensor, size_t alignment);

}  // namespace infernum
