// Element types: plain numbers, the sub-byte floats of safetensors, and the block types of GGUF, in one closed list.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace infernum {

enum class DType : uint8_t {
  F32,
  F16,
  BF16,
  F64,  // floats
  Bool,
  I8,
  I16,
  I32,
  I64,
  U8,
  U16,
  U32,
  U64,
  C64,
  F8E4M3,
  F8E5M2,
  F8E8M0,
  F8E4M3Fnuz,
  F8E5M2Fnuz,
  F6E2M3,
  F6E3M2,
  F4,
  // GGUF blocks: a row is a run of blocks, each holding `block` elements in `bytes` bytes.
  Q4_0,
  Q4_1,
  Q5_0,
  Q5_1,
  Q8_0,
  Q2_K,
  Q3_K,
  Q4_K,
  Q5_K,
  Q6_K,
  IQ4_NL,
  IQ4_XS,
  IQ3_S,
  MXFP4,
  TQ1_0,
  TQ2_0,
  // Blocks as the CPU kernels want them: 16 rows interleaved, made at load from the type of the same name (ops/cpu/pack.h). Never in a
  // file.
  Q4_0_R16,
  Q4_1_R16,
  Q5_0_R16,
  Q5_1_R16,
  Q8_0_R16,
  IQ4_NL_R16,
  MXFP4_R16,
  Q4_K_R16,
  Q5_K_R16,
  Q6_K_R16,
};

/// `block` elements occupy `bytes` bytes; block is 1 for plain types.
struct DTypeInfo {
  std::string_view name;
  int block;
  int bytes;
};

constexpr DTypeInfo dtype_infos[] = {
    {"F32", 1, 4},          {"F16", 1, 2},          {"BF16", 1, 2},         {"F64", 1, 8},          {"BOOL", 1, 1},
    {"I8", 1, 1},           {"I16", 1, 2},          {"I32", 1, 4},          {"I64", 1, 8},          {"U8", 1, 1},
    {"U16", 1, 2},          {"U32", 1, 4},          {"U64", 1, 8},          {"C64", 1, 8},          {"F8_E4M3", 1, 1},
    {"F8_E5M2", 1, 1},      {"F8_E8M0", 1, 1},      {"F8_E4M3FNUZ", 1, 1},  {"F8_E5M2FNUZ", 1, 1},  {"F6_E2M3", 4, 3},
    {"F6_E3M2", 4, 3},      {"F4", 2, 1},           {"Q4_0", 32, 18},       {"Q4_1", 32, 20},       {"Q5_0", 32, 22},
    {"Q5_1", 32, 24},       {"Q8_0", 32, 34},       {"Q2_K", 256, 84},      {"Q3_K", 256, 110},     {"Q4_K", 256, 144},
    {"Q5_K", 256, 176},     {"Q6_K", 256, 210},     {"IQ4_NL", 32, 18},     {"IQ4_XS", 256, 136},   {"IQ3_S", 256, 110},
    {"MXFP4", 32, 17},      {"TQ1_0", 256, 54},     {"TQ2_0", 256, 66},     {"Q4_0_R16", 32, 18},   {"Q4_1_R16", 32, 20},
    {"Q5_0_R16", 32, 22},   {"Q5_1_R16", 32, 24},   {"Q8_0_R16", 32, 34},   {"IQ4_NL_R16", 32, 18}, {"MXFP4_R16", 32, 17},
    {"Q4_K_R16", 256, 148}, {"Q5_K_R16", 256, 180}, {"Q6_K_R16", 256, 212},
};
constexpr const DTypeInfo& info(DType t) { return dtype_infos[static_cast<int>(t)]; }
constexpr bool is_float(DType t) { return t <= DType::BF16; }  ///< the floats a kernel computes on
constexpr bool is_gguf_block(DType t) { return t >= DType::Q4_0 && t <= DType::TQ2_0; }
constexpr bool is_packed(DType t) {
  return t >= DType::Q4_0_R16;
}  ///< rows padded to a multiple of 16: packed_bytes() tells the size, not View::bytes()
/// Bytes of `elements` elements; elements must be a multiple of the block.
constexpr int64_t bytes_of(DType t, int64_t elements) { return elements / info(t).block * info(t).bytes; }
inline std::string describe(DType t) { return std::string(info(t).name); }

}  // namespace infernum
