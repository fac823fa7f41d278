// Small checkpoint files made by tests and fuzz targets, and a folder that goes away by itself.
#pragma once
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "core/check.h"

namespace infernum::testutil {

/// What the action's Error says.
inline std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

template <class T>
std::string little_endian(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::filesystem::path& parent = std::filesystem::temp_directory_path()) {
    static std::atomic<int> made = 0;
    path_ = parent / ("infernum_checkpoint_" + std::to_string(::getpid()) + "_" + std::to_string(made++));
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string path() const { return path_.string(); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  /// Writes a file and returns its path.
  std::string write(const std::string& name, const std::string& content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
    return *this / name;
  }

 private:
  std::filesystem::path path_;
};

/// One I8 tensor per name, two bytes each, in a safetensors file.
inline std::string safetensors_of(const std::vector<std::string>& names) {
  std::string json = "{";
  for (size_t i = 0; i < names.size(); i++)
    json += (i ? ",\"" : "\"") + names[i] + R"(":{"dtype":"I8","shape":[2],"data_offsets":[)" + std::to_string(2 * i) + "," +
            std::to_string(2 * i + 2) + "]}";
  json += "}";
  return little_endian<uint64_t>(json.size()) + json + std::string(2 * names.size(), 'w');
}

}  // namespace infernum::testutil
