// Small text files beside the weights, and text of a hostile file made fit for a message.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace infernum {

/// The whole file; throws when it cannot be read or is larger than `limit_bytes`.
std::string read_text_file(const std::string& path, int64_t limit_bytes = 256 << 20);
/// As read_text_file(); nothing when there is no such file.
std::optional<std::string> read_if_exists(const std::string& path);

/// In quotes, without control bytes, at most about 100 bytes long.
std::string printable(std::string_view text);

}  // namespace infernum
