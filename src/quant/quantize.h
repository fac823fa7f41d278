// One block from floats, for each block type that can be written. x is finite and within max_magnitude() of the type.
#pragma once
#include "quant/blocks.h"

namespace infernum {

void quantize_block(const float* x, BlockQ4_0& b);
void quantize_block(const float* x, BlockQ4_1& b);
void quantize_block(const float* x, BlockQ5_0& b);
void quantize_block(const float* x, BlockQ5_1& b);
void quantize_block(const float* x, BlockQ8_0& b);
void quantize_block(const float* x, BlockIQ4_NL& b);
void quantize_block(const float* x, BlockMXFP4& b);
void quantize_block(const float* x, BlockQ2_K& b);
void quantize_block(const float* x, BlockQ3_K& b);
void quantize_block(const float* x, BlockQ4_K& b);
void quantize_block(const float* x, BlockQ5_K& b);
void quantize_block(const float* x, BlockQ6_K& b);
void quantize_block(const float* x, BlockIQ4_XS& b);
void quantize_block(const float* x, BlockTQ1_0& b);
void quantize_block(const float* x, BlockTQ2_0& b);

}  // namespace infernum
