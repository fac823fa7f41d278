#include "checkpoint/gguf_types.h"

#include <string_view>

namespace infernum {
namespace {

// ggml.h (enum ggml_type); numbers are never reused.
constexpr struct {
  uint32_t id;
  DType type;
} readable[] = {{0, DType::F32},     {1, DType::F16},    {2, DType::Q4_0},    {3, DType::Q4_1},   {6, DType::Q5_0},   {7, DType::Q5_1},
                {8, DType::Q8_0},    {10, DType::Q2_K},  {11, DType::Q3_K},   {12, DType::Q4_K},  {13, DType::Q5_K},  {14, DType::Q6_K},
                {20, DType::IQ4_NL}, {21, DType::IQ3_S}, {23, DType::IQ4_XS}, {24, DType::I8},    {25, DType::I16},   {26, DType::I32},
                {27, DType::I64},    {28, DType::F64},   {30, DType::BF16},   {34, DType::TQ1_0}, {35, DType::TQ2_0}, {39, DType::MXFP4}};

constexpr struct {
  uint32_t id;
  std::string_view name;
} refused[] = {{4, "Q4_2 (removed from the format)"},
               {5, "Q4_3 (removed from the format)"},
               {9, "Q8_1 (for activations only)"},
               {15, "Q8_K (for activations only)"},
               {16, "IQ2_XXS"},
               {17, "IQ2_XS"},
               {18, "IQ3_XXS"},
               {19, "IQ1_S"},
               {22, "IQ2_S"},
               {29, "IQ1_M"},
               {31, "Q4_0_4_4 (removed from the format)"},
               {32, "Q4_0_4_8 (removed from the format)"},
               {33, "Q4_0_8_8 (removed from the format)"},
               {36, "IQ4_NL_4_4 (removed from the format), or I2_S of BitNet"},
               {37, "IQ4_NL_4_8 (removed from the format)"},
               {38, "IQ4_NL_8_8 (removed from the format)"},
               {40, "NVFP4"},
               {41, "Q1_0"},
               {42, "Q2_0"}};

}  // namespace

std::optional<DType> dtype_of_ggml(uint32_t id) {
  for (const auto& row : readable)
    if (row.id == id) return row.type;
  return std::nullopt;
}

std::optional<uint32_t> ggml_of_dtype(DType type) {
  for (const auto& row : readable)
    if (row.type == type) return row.id;
  return std::nullopt;
}

std::string describe_ggml_type(uint32_t id) {
  std::string text = "type " + std::to_string(id);
  for (const auto& row : refused)
    if (row.id == id) return text.append(" = ").append(row.name);
  if ((id >= 97 && id <= 99) || id >= 133) text += " (a type of ik_llama.cpp only, or newer than this program)";
  return text;
}

}  // namespace infernum
