// The inner products of the AVX-512 level, each in a file of its own.
#pragma once
// GCC 12 takes the deliberately undefined registers of its own intrinsics for mistakes (its bug 105593).
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "ops/cpu/gemm.h"

namespace infernum {

void dense_f32_avx512(const DenseCall& call);
void dense_f16_avx512(const DenseCall& call);
void dense_bf16_avx512(const DenseCall& call);
void dense_bf16_bf16_avx512(const DenseCall& call);
void unpack_avx512(const UnpackCall& call);
void strip_avx512(const StripCall& call);
void gemv_avx512(const GemvCall& call);

}  // namespace infernum
