// Writes a GGUF v3 file from front to back: metadata, tensor infos, then tensor data in pieces of any size. Nothing but the metadata is
// held.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/dtype.h"
#include "core/shape.h"

namespace infernum {

/// Calls in this order: set() and declare() in any mix, then write() until every declared byte is there, then finish(). The file takes its
/// name only in finish(); an unfinished one is removed.
class GgufWriter {
  template <class... T>
  using ValueOf = std::variant<T..., std::vector<T>...>;

 public:
  /// A metadata value: a scalar of the format's types, or an array of one.
  using Value = ValueOf<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool, std::string, uint64_t, int64_t, double>;

  explicit GgufWriter(std::string path, uint32_t alignment = 32);
  ~GgufWriter();
  GgufWriter(const GgufWriter&) = delete;
  GgufWriter& operator=(const GgufWriter&) = delete;

  void set(std::string_view key, const Value& value);
  /// An array in the encoding of the format, as a reader found it: `count` elements of the type with that id.
  void set_array(std::string_view key, uint32_t element_type, int64_t count, std::span<const std::byte> bytes);
  /// `shape` outermost first; its last dimension must be a multiple of the type's block.
  void declare(std::string_view name, DType type, const Shape& shape);
  /// The next bytes of the declared tensors, in the order of their declaration; a call may not cross the end of a tensor.
  void write(std::span<const std::byte> bytes);
  /// Throws if bytes are missing. Replaces a file of that name.
  void finish();

 private:
  struct Tensor {
    std::string name;
    int64_t bytes;
  };
  class File;

  void add_key(std::string_view key);
  void start_data();
  void write_padding();

  std::string path_;
  uint32_t alignment_;
  std::unique_ptr<File> file_;
  std::string metadata_, infos_;  // encoded already
  uint64_t keys_ = 0;
  std::set<std::string, std::less<>> names_, key_names_;
  std::vector<Tensor> tensors_;
  uint64_t data_bytes_ = 0;  // of all tensors with their padding
  size_t current_ = 0;       // tensor being written
  int64_t written_ = 0;      // its bytes so far
  bool in_data_ = false;
};

}  // namespace infernum
