// ConfigReader: typed access to a config.json that remembers which keys were read.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace infernum {

class ConfigReader {
 public:
  /// Throws on anything but a JSON object. If it holds an object `text_config`, that is the config and the outer object its fallback.
  explicit ConfigReader(std::string_view json);
  ~ConfigReader();
  ConfigReader(ConfigReader&&) noexcept;

  bool has_text_config() const;              ///< a text model within a multimodal one
  bool has(std::string_view key) const;      ///< present and not null
  bool is_null(std::string_view key) const;  ///< present and null
  std::optional<int64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  /// A flag that some files spell as a number: then whether it is not 0.
  std::optional<bool> truth(std::string_view key) const;
  std::optional<std::string> string(std::string_view key) const;
  std::vector<std::string> strings(std::string_view key) const;  ///< a string counts as a list of one; empty when absent
  std::vector<double> numbers(std::string_view key) const;
  /// The nested object, or nothing when absent or null.
  std::optional<ConfigReader> object(std::string_view key) const;

  /// Present, at least 1, at most 2^31 - 1.
  int64_t size(std::string_view key) const;
  int64_t size(std::string_view key, int64_t fallback) const;

  /// Keys of this object that nothing asked for, and the outer object's quantization_config, which concerns the text model too.
  std::vector<std::string> unread() const;

 private:
  struct Data;
  explicit ConfigReader(std::unique_ptr<Data> data);
  std::unique_ptr<Data> data_;
};

}  // namespace infernum
