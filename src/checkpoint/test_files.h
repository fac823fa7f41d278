// Small checkpoint files made by tests and fuzz targets, and a folder that goes away by itself.
#pragma once
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <vector>

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

/// Seconds of processor time of this process, which other processes do not disturb.
inline double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr double slowdown = 30;  ///< time limits of tests are those of a plain build
#else
constexpr double slowdown = 1;
#endif

template <class T>
std::string little_endian(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

inline std::string bytes_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
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

/// Builds a GGUF file value by value, right or wrong.
class GgufBuilder {
 public:
  uint32_t version = 3;
  uint64_t alignment = 32;  ///< of the padding written; the key general.alignment is the caller's
  std::optional<uint64_t> claimed_keys, claimed_tensors;

  static std::string text(const std::string& value) { return little_endian<uint64_t>(value.size()) + value; }
  /// `bytes` as they follow the type in the file.
  GgufBuilder& raw(const std::string& key, uint32_t type, const std::string& bytes) {
    keys_ += text(key) + little_endian<uint32_t>(type) + bytes;
    key_count_++;
    return *this;
  }
  GgufBuilder& string(const std::string& key, const std::string& value) { return raw(key, 8, text(value)); }
  GgufBuilder& u32(const std::string& key, uint32_t value) { return raw(key, 4, little_endian(value)); }
  GgufBuilder& f32(const std::string& key, float value) { return raw(key, 6, little_endian(value)); }
  GgufBuilder& strings(const std::string& key, const std::vector<std::string>& values) {
    std::string bytes = little_endian<uint32_t>(8) + little_endian<uint64_t>(values.size());
    for (const std::string& value : values) bytes += text(value);
    return raw(key, 9, bytes);
  }
  /// `ne` is innermost first, as in the file.
  GgufBuilder& tensor_info(const std::string& name, const std::vector<uint64_t>& ne, uint32_t type, uint64_t offset) {
    tensors_ += text(name) + little_endian<uint32_t>(static_cast<uint32_t>(ne.size()));
    for (uint64_t n : ne) tensors_ += little_endian(n);
    tensors_ += little_endian(type) + little_endian(offset);
    tensor_count_++;
    return *this;
  }
  GgufBuilder& tensor(const std::string& name, const std::vector<uint64_t>& ne, uint32_t type, const std::string& bytes) {
    tensor_info(name, ne, type, data_.size());
    data_ += bytes;
    data_.resize((data_.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  std::string file() const {
    std::string bytes = "GGUF" + little_endian(version) + little_endian(claimed_tensors.value_or(tensor_count_)) +
                        little_endian(claimed_keys.value_or(key_count_)) + keys_ + tensors_;
    bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
    return bytes + data_;
  }

 private:
  std::string keys_, tensors_, data_;
  uint64_t key_count_ = 0, tensor_count_ = 0;
};

}  // namespace infernum::testutil
