// Rows of numbers between float and every storage type a matrix may have: F32, F16, BF16 and the GGUF block types.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/dtype.h"

namespace infernum {

/// dst[0..n) = the n elements stored at src (any address); n must be a multiple of the type's block. Safe on any bytes.
void dequantize(DType type, const std::byte* src, float* dst, int64_t n);

}  // namespace infernum
