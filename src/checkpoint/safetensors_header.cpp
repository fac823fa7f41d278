#include "checkpoint/safetensors_header.h"

#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "checkpoint/text_file.h"
#include "core/check.h"

namespace infernum {
namespace {

constexpr size_t longest_name = 512;
constexpr int deepest = 4;
constexpr int highest_rank = 16;

bool find_dtype(std::string_view name, DType& found) {
  for (int i = 0; i < static_cast<int>(DType::Q4_0); i++) {  // the types before the GGUF blocks are those of safetensors
    found = static_cast<DType>(i);
    if (info(found).name == name) return true;
  }
  return false;
}

/// Receives the JSON event by event, so that a header of 100 MB never becomes a document.
class HeaderEvents {
 public:
  HeaderEvents(SafetensorsHeader& header, const std::string& path) : header_(header), path_(path) {}

  bool null() { return other("null"); }
  bool boolean(bool) { return other("a boolean"); }
  bool number_integer(int64_t) { return other("a negative number"); }
  bool number_float(double, const std::string&) { return other("a number that is no 64-bit integer"); }
  bool binary(std::vector<uint8_t>&) { return other("binary"); }

  bool number_unsigned(uint64_t value) {
    if (depth_ != 3 || (field_ != Field::Shape && field_ != Field::Offsets)) return other("a number");
    expect(value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()), "safetensors: overflow, a number exceeds 63 bits");
    const auto n = static_cast<int64_t>(value);
    if (field_ == Field::Offsets) {
      expect(offsets_ < 2, "safetensors: data_offsets has more than two numbers");
      (offsets_++ ? entry().end : entry().begin) = n;
      return true;
    }
    SafetensorsEntry& e = entry();
    expect(e.rank < highest_rank, "safetensors: too many dimensions");
    if (e.rank < 4) e.size[static_cast<size_t>(e.rank)] = n;
    e.rank++;
    e.last = n;
    expect(!__builtin_mul_overflow(e.elements, n, &e.elements), "safetensors: overflow, the product of the shape exceeds 63 bits");
    return true;
  }

  bool string(std::string& value) {
    if (depth_ == 2 && in_metadata_) {
      expect(header_.metadata.emplace(key_, value).second, "safetensors: duplicate key in __metadata__");
      return true;
    }
    if (depth_ != 2 || field_ != Field::Dtype) return other("a string");
    if (!find_dtype(value, entry().dtype))
      fail("safetensors: unknown dtype", printable(value), "of tensor", printable(entry().name), "in", path_);
    return true;
  }

  bool key(std::string& value) {
    if (depth_ == 1) {
      in_metadata_ = value == "__metadata__";
      if (in_metadata_) {
        check(!seen_metadata_, "safetensors: duplicate key __metadata__ in", path_);
        seen_metadata_ = true;
        return true;
      }
      if (value.size() > longest_name)
        fail("safetensors: tensor name is too long", printable(value), value.size(), ">", longest_name, "in", path_);
      header_.entries.emplace_back().name = value;
      seen_dtype_ = seen_shape_ = seen_offsets_ = false;
    } else if (depth_ == 2 && in_metadata_) {
      key_ = value;
    } else if (depth_ == 2) {
      field_ = value == "dtype" ? Field::Dtype : value == "shape" ? Field::Shape : value == "data_offsets" ? Field::Offsets : Field::Extra;
      if (field_ == Field::Dtype) first(seen_dtype_);
      if (field_ == Field::Shape) first(seen_shape_);
      if (field_ == Field::Offsets) first(seen_offsets_);
    }
    return true;
  }

  bool start_object(size_t) {
    if (depth_ >= 2) other("an object");
    return descend();
  }
  bool end_object() {
    depth_--;
    if (depth_ == 1 && !in_metadata_) {
      expect(seen_dtype_ && seen_shape_ && seen_offsets_, "safetensors: an entry needs dtype, shape and data_offsets");
      expect(offsets_ == 2, "safetensors: data_offsets needs two numbers");
      check_size();
    }
    return true;
  }
  bool start_array(size_t) {
    const bool of_entry = depth_ == 2 && !in_metadata_ && (field_ == Field::Shape || field_ == Field::Offsets);
    if (!of_entry) other("an array");
    if (of_entry && field_ == Field::Offsets) offsets_ = 0;
    return descend();
  }
  bool end_array() {
    depth_--;
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) {
    fail("safetensors: header is not valid JSON in UTF-8", path_, error.what());
  }

 private:
  enum class Field { Dtype, Shape, Offsets, Extra };

  SafetensorsEntry& entry() { return header_.entries.back(); }

  void expect(bool ok, Where rule) {
    if (!ok) fail(rule, "tensor", in_metadata_ || header_.entries.empty() ? "" : printable(entry().name), "in", path_);
  }
  void first(bool& seen) {
    expect(!seen, "safetensors: duplicate key in the entry");
    seen = true;
  }
  bool descend() {
    expect(depth_ < deepest, "safetensors: header is nested too deeply");
    depth_++;
    return true;
  }
  /// A value where the format has no place for its kind; only unknown keys of an entry may hold anything.
  bool other(std::string_view kind) {
    check(depth_ >= 1, "safetensors: the header is an object, not", kind, path_);
    check(!in_metadata_, "safetensors: __metadata__ maps strings to strings, found", kind, path_);
    check(depth_ >= 2, "safetensors: an entry is an object, not", kind, path_);
    if (field_ != Field::Extra)
      fail("safetensors: dtype is a string, shape and data_offsets are arrays of non-negative integers; found", kind, "tensor",
           printable(entry().name), "in", path_);
    return true;
  }
  void check_size() {
    const SafetensorsEntry& e = entry();
    const DTypeInfo& type = info(e.dtype);
    expect(e.rank == 0 ? type.block == 1 : e.last % type.block == 0, "safetensors: a row does not fill whole bytes");
    int64_t bytes = 0;
    expect(!__builtin_mul_overflow(e.elements / type.block, type.bytes, &bytes),
           "safetensors: overflow, the size in bytes exceeds 63 bits");
    if (e.begin > e.end || e.end - e.begin != bytes)
      fail("safetensors: size mismatch between data_offsets and shape", printable(e.name), e.dtype, e.elements, "elements =", bytes,
           "bytes, offsets", e.begin, e.end, "in", path_);
  }

  SafetensorsHeader& header_;
  const std::string& path_;
  int depth_ = 0;
  Field field_ = Field::Extra;
  int offsets_ = 0;
  bool in_metadata_ = false, seen_metadata_ = false;
  bool seen_dtype_ = false, seen_shape_ = false, seen_offsets_ = false;
  std::string key_;
};

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view json, const std::string& path) {
  // nlohmann's lexer takes a NUL for the end of the input and skips a byte order mark: neither belongs in a header.
  check(json.find('\0') == json.npos && !json.starts_with("\xef\xbb\xbf"), "safetensors: header is not valid JSON in UTF-8", path);
  SafetensorsHeader header;
  HeaderEvents events(header, path);
  nlohmann::json::sax_parse(json.data(), json.data() + json.size(), &events);
  std::unordered_set<std::string_view> names;
  names.reserve(header.entries.size());
  for (const SafetensorsEntry& entry : header.entries)
    if (!names.insert(entry.name).second) fail("safetensors: duplicate tensor name", printable(entry.name), "in", path);
  return header;
}

}  // namespace infernum
