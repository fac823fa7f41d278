// The typed key-value map of a GGUF file. Strings and arrays stay in the file; integers are read in any width.
#pragma once
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace infernum {

enum class GgufType : uint32_t { U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64 };

/// Bytes of one element; 0 for strings and arrays.
int size_of(GgufType type);
std::string_view name_of(GgufType type);

/// `count` elements packed in `bytes`, not aligned; a string is a u64 length and its bytes. The extents were checked when the file was
/// read.
struct GgufArray {
  GgufType type = GgufType::U8;
  int64_t count = 0;
  std::span<const std::byte> bytes;
};

using GgufValue = std::variant<uint64_t, int64_t, float, double, bool, std::string_view, GgufArray>;

/// How find and require differ: find has no result when the key is absent, require throws. Both throw when the key holds
/// another kind of value or one out of range; messages name the file and the key.
class GgufMetadata {
 public:
  using Map = std::map<std::string, GgufValue, std::less<>>;
  static constexpr int64_t lowest = std::numeric_limits<int64_t>::min(), highest = std::numeric_limits<int64_t>::max();

  GgufMetadata(std::string path, uint32_t version, Map values, std::shared_ptr<const void> owner)
      : path_(std::move(path)), version_(version), values_(std::move(values)), owner_(std::move(owner)) {}

  const std::string& path() const { return path_; }
  uint32_t version() const { return version_; }
  const Map& values() const { return values_; }
  bool contains(std::string_view key) const { return values_.find(key) != values_.end(); }

  std::optional<int64_t> find_int(std::string_view key, int64_t low = lowest, int64_t high = highest) const;
  int64_t require_int(std::string_view key, int64_t low = lowest, int64_t high = highest) const;
  /// A finite number; integers count as numbers.
  std::optional<double> find_float(std::string_view key) const;
  double require_float(std::string_view key) const;
  std::optional<bool> find_bool(std::string_view key) const;
  std::optional<std::string_view> find_string(std::string_view key) const;
  std::string_view require_string(std::string_view key) const;

  std::optional<std::vector<int64_t>> find_ints(std::string_view key) const;
  std::optional<std::vector<float>> find_floats(std::string_view key) const;
  std::optional<std::vector<bool>> find_bools(std::string_view key) const;
  /// Views into the file.
  std::optional<std::vector<std::string_view>> find_strings(std::string_view key) const;
  std::vector<std::string_view> require_strings(std::string_view key) const;
  /// Bytes of a U8 or I8 array in place.
  std::optional<std::span<const std::byte>> find_bytes(std::string_view key) const;
  /// Elements of an array; -1 when the key is absent.
  int64_t array_size(std::string_view key) const;

  /// A per-layer number: one for all layers, or an array with one each.
  std::optional<std::vector<int64_t>> find_per_layer(std::string_view key, int64_t layers, int64_t low, int64_t high) const;

 private:
  const GgufValue* find(std::string_view key) const;
  const GgufArray* find_array(std::string_view key) const;
  [[noreturn]] void wrong_kind(std::string_view key, std::string_view wanted, const GgufValue& value) const;
  [[noreturn]] void missing(std::string_view key) const;

  std::string path_;
  uint32_t version_ = 0;
  Map values_;
  std::shared_ptr<const void> owner_;
};

}  // namespace infernum
