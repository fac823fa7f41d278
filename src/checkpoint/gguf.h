// The GGUF container, versions 2 and 3: metadata, tensor table and aligned tensor data in one file or several.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/gguf_metadata.h"
#include "checkpoint/opening.h"
#include "checkpoint/stored_tensor.h"

namespace infernum {

struct Gguf {
  std::shared_ptr<const GgufMetadata> metadata;  ///< of the first file
  std::vector<StoredTensor> tensors;             ///< GGUF names; shapes outermost first
};

/// Reads one file in place; `path` is for messages, `owner` keeps the bytes alive.
Gguf parse_gguf(std::span<const std::byte> bytes, const std::string& path, std::shared_ptr<const void> owner,
                Opening opening = Opening::Complete);

/// Opens a file or, given the first of split files, all of them.
Gguf open_gguf(const std::string& path, Opening opening = Opening::Complete);

}  // namespace infernum
