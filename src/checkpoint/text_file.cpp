#include "checkpoint/text_file.h"

#include <filesystem>

#include "core/check.h"
#include "core/mapped_file.h"

namespace infernum {

std::string read_text_file(const std::string& path, int64_t limit_bytes) {
  const MappedFile file(path);
  check(file.size() <= limit_bytes, "text file is too large", path, file.size(), ">", limit_bytes);
  return std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
}

std::optional<std::string> read_if_exists(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;
  return read_text_file(path);
}

std::string printable(std::string_view text) {
  constexpr size_t longest = 100;
  std::string shown = "\"";
  for (char c : text.substr(0, longest)) shown += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return shown + (text.size() > longest ? "...\"" : "\"");
}

}  // namespace infernum
