// One block to floats, for each block type: the reference meaning of the formats.
#pragma once
#include "quant/blocks.h"

namespace infernum {

// y[0 .. block_elements) = the values of the block, each rounded once to float.
void dequantize_block(const BlockQ4_0& b, float* y);
void dequantize_block(const BlockQ4_1& b, float* y);
void dequantize_block(const BlockQ5_0& b, float* y);
void dequantize_block(const BlockQ5_1& b, float* y);
void dequantize_block(const BlockQ8_0& b, float* y);
void dequantize_block(const BlockIQ4_NL& b, float* y);
void dequantize_block(const BlockMXFP4& b, float* y);
void dequantize_block(const BlockQ2_K& b, float* y);
void dequantize_block(const BlockQ3_K& b, float* y);
void dequantize_block(const BlockQ4_K& b, float* y);
void dequantize_block(const BlockQ5_K& b, float* y);
void dequantize_block(const BlockQ6_K& b, float* y);
void dequantize_block(const BlockIQ4_XS& b, float* y);
void dequantize_block(const BlockIQ3_S& b, float* y);
void dequantize_block(const BlockTQ1_0& b, float* y);
void dequantize_block(const BlockTQ2_0& b, float* y);

}  // namespace infernum
