// The safetensors container: one JSON header, then the bytes of all tensors without gaps.
#pragma once
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/opening.h"
#include "checkpoint/stored_tensor.h"

namespace infernum {

struct Safetensors {
  std::vector<StoredTensor> tensors;  ///< in the order of their bytes, names as written
  std::map<std::string, std::string> metadata;
};

/// Reads `bytes` in place; `path` is for messages, `owner` keeps the bytes alive.
Safetensors parse_safetensors(std::span<const std::byte> bytes, const std::string& path, const std::shared_ptr<const void>& owner,
                              Opening opening = Opening::Complete);

Safetensors open_safetensors(const std::string& path, Opening opening = Opening::Complete);

}  // namespace infernum
