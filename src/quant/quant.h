// Rows of numbers between float and every storage type a matrix may have: F32, F16, BF16 and the GGUF block types.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/dtype.h"

namespace infernum {

/// dst[0..n) = the n elements stored at src (any address); n must be a multiple of the type's block. Safe on any bytes.
void dequantize(DType type, const std::byte* src, float* dst, int64_t n);

/// True for the types quantize() can write: all that dequantize() reads, but for IQ3_S, whose codebook needs an importance matrix.
bool can_quantize(DType type);

/// The largest magnitude that quantize() accepts: that of F16 where the scale of a block is one.
float max_magnitude(DType type);

/// Index of the first element that is NaN or beyond max_magnitude(type), or -1.
int64_t find_unquantizable(DType type, const float* src, int64_t n);

/// Stores the n floats at src as blocks at dst (any address, bytes_of(type, n) bytes); n must be a multiple of the type's block.
/// Throws if find_unquantizable() finds an element. Deterministic, without calibration data.
void quantize(DType type, const float* src, std::byte* dst, int64_t n);

}  // namespace infernum
