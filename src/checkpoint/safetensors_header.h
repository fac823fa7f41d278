// The JSON header of a safetensors file as written, each entry checked by itself.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"

namespace infernum {

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::F32;
  std::array<int64_t, 4> size{};  ///< the first four dimensions
  int rank = 0;
  int64_t elements = 1;
  int64_t last = 1;  ///< the last dimension
  int64_t begin = 0, end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  ///< names are distinct
  std::map<std::string, std::string> metadata;
};

/// `path` is for messages.
SafetensorsHeader parse_safetensors_header(std::string_view json, const std::string& path);

}  // namespace infernum
