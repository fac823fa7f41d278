// Tensor names of GGUF files in Hugging Face spelling and back, by the rows of a family.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/gguf_family.h"

namespace infernum {

struct GgufName {
  const GgufTensor* row = nullptr;
  std::string name;     ///< in the other spelling
  int64_t layer = -1;   ///< -1: none
  int64_t expert = -1;  ///< -1: none
};

/// What a tensor of a file is called in the model; nothing for names the family has no place for.
std::optional<GgufName> hugging_face_name(std::string_view gguf_name, const GgufFamily& family);

/// The tensors of a file that hold a tensor of the checkpoint or a part of it; none for names the family has no place for.
std::vector<GgufName> gguf_names(std::string_view hugging_face_name, const GgufFamily& family);

/// N of "blk.N....", -1 for other names.
int64_t gguf_layer(std::string_view gguf_name);

}  // namespace infernum
