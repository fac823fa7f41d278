// The inner products of the AVX2 level, each in a file of its own.
#pragma once
#include <immintrin.h>

#include "ops/cpu/gemm.h"

namespace infernum {

void dense_f32_avx2(const DenseCall& call);
void dense_f16_avx2(const DenseCall& call);
void dense_bf16_avx2(const DenseCall& call);
void unpack_avx2(const UnpackCall& call);
void strip_avx2(const StripCall& call);

}  // namespace infernum
