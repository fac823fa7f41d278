// The inner products of one thread: what every instruction-set level provides to the drivers of MatMul, BlockMatMul and ExpertMatMul.
// Nothing inline lives here, so that no code compiled for one level can be linked into another.
#pragma once
#include <cstddef>
#include <cstdint>

#include "backends/cpu/isa.h"
#include "core/dtype.h"

namespace infernum {

// The order of additions of a dense product is the same for any number of tokens, and does not depend on the tile that an output falls in.
// A vector holds 16 values of k (16 pairs where both sides are BF16), a chunk is chunk_vectors of them. Lane l adds up the l-th values of
// the vectors of a chunk, one after the other, each step one multiply-add; what lies behind k counts as zero. Then lanes 8 apart are added,
// 4, 2, 1, and the chunks from left to right, starting with c or zero. A caller that cuts k does so at chunks.
constexpr int64_t chunk_vectors = 64;

/// c[c_rows[t]][j] (+)= sum over k of x[x_rows[t]] * w[j], t = 0..m-1, j = 0..n-1. Strides of x and w in bytes, of c in floats.
struct DenseCall {
  const std::byte* x;
  int64_t x_stride;
  const int32_t* x_rows;
  const std::byte* w;
  int64_t w_stride;
  float* c;
  int64_t c_stride;
  const int32_t* c_rows;
  int64_t m, n, k;
  bool accumulate;
  std::byte* workspace;  ///< dense_workspace_bytes of this thread, 64-byte aligned
};
constexpr int64_t dense_workspace_bytes = 424 << 10;

/// 32 activations as int8: x = scale * q. What a kernel needs of them lies together, so that it follows one pointer per token. A block with
/// an infinity or NaN has scale NaN and q zero.
constexpr int64_t activation_block = 32;
struct ActivationBlock {
  int8_t q[activation_block];
  float scale;
  float sum;        ///< scale * sum of q, for weights that have a min
  int32_t bias[2];  ///< -zero * sum of q, for weights that have a zero point; of each half where scales are fine
};

struct QuantizedRows {
  ActivationBlock* blocks;  ///< (rows, k / 32)
  int64_t k;
  ActivationBlock* row(int64_t r) const { return blocks + r * (k / activation_block); }
};

constexpr int64_t group_rows = 16;

/// 16 weight rows as bytes, over the part of k that a caller chose: w = scale * (q - zero), or scale * q - min.
/// All three start at multiples of 64 bytes.
struct Strip {
  uint8_t* q;    ///< (k / 4, 16, 4)
  float* scale;  ///< (k / 32, 16), or (k / 16, 16) for Q6_K
  float* min;    ///< (k / 32, 16), for types that have one
};

/// What is common to all strips of a packed type.
struct StripForm {
  int zero;
  bool has_min;
  bool fine;  ///< a scale per 16 values, not 32
};
constexpr StripForm strip_form(DType packed) {
  switch (packed) {
    case DType::Q4_0_R16: return {8, false, false};
    case DType::Q5_0_R16: return {16, false, false};
    case DType::Q8_0_R16:
    case DType::IQ4_NL_R16: return {128, false, false};
    case DType::MXFP4_R16: return {12, false, false};
    case DType::Q6_K_R16: return {32, false, true};
    default: return {0, true, false};
  }
}

/// Sets what follows q in a block: `low` and `high` are the sums of its halves.
void finish_block(ActivationBlock& block, float scale, int32_t low, int32_t high, StripForm form);

/// What the 16 nibbles mean where that is no plain number, plus the zero point: IQ4_NL, and the doubled E2M1 of MXFP4.
constexpr uint8_t iq4_nl_codes[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};
constexpr uint8_t mxfp4_codes[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

/// c[c_rows[t]][16 g + r] (+)= x[x_rows[t]] * strips[g] row r, over blocks block0 .. block0 + blocks of x.
struct StripCall {
  QuantizedRows x;
  const int32_t* x_rows;
  int64_t block0, blocks;
  const Strip* strips;
  int groups;  ///< 1 or 2
  StripForm form;
  float* c;
  int64_t c_stride;
  const int32_t* c_rows;
  int64_t m;
  bool accumulate;
};

/// `packed` points at a row group of k values; fills the strip with k0 .. k1 (multiples of the block).
struct UnpackCall {
  DType type;
  const std::byte* packed;
  int64_t k, k0, k1;
  Strip strip;
};

/// c[c_rows[t]][16 g + r] = x[x_rows[t]] * row r of group g, straight from packed groups, for few tokens.
struct GemvCall {
  DType type;
  const std::byte* packed;
  int64_t group_bytes, groups;
  QuantizedRows x;
  const int32_t* x_rows;
  float* c;
  int64_t c_stride;
  const int32_t* c_rows;
  int64_t m;
};

struct GemmKernels {
  void (*dense_f32)(const DenseCall&);        ///< x F32, w F32
  void (*dense_f16)(const DenseCall&);        ///< x F32, w F16
  void (*dense_bf16)(const DenseCall&);       ///< x F32, w BF16
  void (*dense_bf16_bf16)(const DenseCall&);  ///< both BF16; null: widen x and use dense_bf16
  void (*quantize)(const float* x, const QuantizedRows& out, int64_t row, StripForm form);
  void (*unpack)(const UnpackCall&);
  void (*strip)(const StripCall&);
  void (*gemv)(const GemvCall&);  ///< null: unpack and strip
  int64_t gemv_tokens;            ///< gemv takes up to so many
};

extern const GemmKernels gemm_portable;
#if defined(__x86_64__)
extern const GemmKernels gemm_avx2, gemm_avx512;
#endif
const GemmKernels& gemm_kernels(Isa isa);

}  // namespace infernum
