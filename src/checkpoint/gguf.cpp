#include "checkpoint/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>

#include "checkpoint/gguf_types.h"
#include "checkpoint/text_file.h"
#include "core/check.h"
#include "core/mapped_file.h"

namespace infernum {
namespace {

// No model comes near these; they bound the memory that a hostile file can ask for.
constexpr uint64_t most_keys = 1 << 16, most_tensors = 1 << 20;
constexpr uint64_t longest_key = 256, longest_tensor_name = 63, longest_array_string = 64 << 10, most_elements = 1 << 30;
constexpr uint64_t least_key_bytes = 13, least_tensor_bytes = 24;

/// Reads forward and never past the end.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return bytes_.size() - position_; }

  std::span<const std::byte> take(uint64_t count, std::string_view what) {
    check(count <= remaining(), "gguf: file ends inside", what, "of", count, "bytes at offset", position_, "of", bytes_.size(), "in",
          path_);
    const auto part = bytes_.subspan(position_, count);
    position_ += count;
    return part;
  }
  template <class T>
  T number(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }
  std::string_view string(std::string_view what, uint64_t limit) {
    const auto length = number<uint64_t>(what);
    check(length <= limit, "gguf: string is too long", what, length, ">", limit, "in", path_);
    const auto text = take(length, what);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }
  GgufType type(std::string_view key) {
    const auto id = number<uint32_t>(key);
    check(id <= static_cast<uint32_t>(GgufType::F64), "gguf: unknown type of a metadata value", printable(key), id, "in", path_);
    return static_cast<GgufType>(id);
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& path_;
  uint64_t position_ = 0;
};

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& path, Opening opening)
      : cursor_(bytes, path), bytes_(bytes), path_(path), opening_(opening) {}

  Gguf read(std::shared_ptr<const void> owner) {
    read_preamble();
    for (uint64_t i = 0; i < keys_; i++) read_key();
    read_alignment();
    Gguf gguf;
    gguf.tensors.reserve(tensors_);
    for (uint64_t i = 0; i < tensors_; i++) gguf.tensors.push_back(read_tensor());
    place_tensors(gguf.tensors, owner);
    gguf.metadata = std::make_shared<const GgufMetadata>(path_, version_, std::move(values_), std::move(owner));
    return gguf;
  }

 private:
  void read_preamble() {
    const auto magic = cursor_.take(4, "the magic number");
    check(std::memcmp(magic.data(), "GGUF", 4) == 0, "gguf: file does not begin with GGUF", path_);
    version_ = cursor_.number<uint32_t>("the version");
    check(version_ == 0 || (version_ & 0xffff) != 0, "gguf: big-endian files are not supported", path_);
    check(version_ != 1, "gguf: version 1 is no longer read by anyone, convert the model again", path_);
    check(version_ >= 2 && version_ <= 3, "gguf: version is neither 2 nor 3", version_, path_);
    tensors_ = cursor_.number<uint64_t>("the number of tensors");
    keys_ = cursor_.number<uint64_t>("the number of metadata keys");
    check(keys_ <= most_keys && keys_ <= cursor_.remaining() / least_key_bytes, "gguf: more metadata keys than the file can hold", keys_,
          "in", path_);
    check(tensors_ <= most_tensors && tensors_ <= cursor_.remaining() / least_tensor_bytes, "gguf: more tensors than the file can hold",
          tensors_, "in", path_);
  }

  void read_key() {
    const std::string_view key = cursor_.string("a metadata key", longest_key);
    check(!key.empty(), "gguf: a metadata key is empty in", path_);
    const GgufType type = cursor_.type(key);
    if (key == "general.alignment") check(type == GgufType::U32, "gguf: general.alignment is a UINT32, not", name_of(type), "in", path_);
    const GgufValue value = type == GgufType::Array ? GgufValue(read_array(key)) : read_scalar(key, type);
    check(values_.emplace(key, value).second, "gguf: duplicate metadata key", printable(key), "in", path_);
  }

  GgufValue read_scalar(std::string_view key, GgufType type) {
    switch (type) {
      case GgufType::U8: return uint64_t{cursor_.number<uint8_t>(key)};
      case GgufType::I8: return int64_t{cursor_.number<int8_t>(key)};
      case GgufType::U16: return uint64_t{cursor_.number<uint16_t>(key)};
      case GgufType::I16: return int64_t{cursor_.number<int16_t>(key)};
      case GgufType::U32: return uint64_t{cursor_.number<uint32_t>(key)};
      case GgufType::I32: return int64_t{cursor_.number<int32_t>(key)};
      case GgufType::U64: return cursor_.number<uint64_t>(key);
      case GgufType::I64: return cursor_.number<int64_t>(key);
      case GgufType::F32: return cursor_.number<float>(key);
      case GgufType::F64: return cursor_.number<double>(key);
      case GgufType::Bool: return read_bool(key);
      case GgufType::String: return cursor_.string(key, cursor_.remaining());
      case GgufType::Array: break;
    }
    fail("gguf: unknown type of a metadata value", printable(key), path_);
  }

  bool read_bool(std::string_view key) {
    const auto value = cursor_.number<uint8_t>(key);
    check(value <= 1, "gguf: a BOOL is 0 or 1", printable(key), value, "in", path_);
    return value == 1;
  }

  GgufArray read_array(std::string_view key) {
    GgufArray array;
    array.type = cursor_.type(key);
    check(array.type != GgufType::Array, "gguf: nested arrays are not supported", printable(key), "in", path_);
    const auto count = cursor_.number<uint64_t>(key);
    const uint64_t least = array.type == GgufType::String ? 8 : static_cast<uint64_t>(size_of(array.type));
    check(count <= most_elements && count <= cursor_.remaining() / least, "gguf: array is larger than the file", printable(key), count,
          "in", path_);
    array.count = static_cast<int64_t>(count);
    if (array.type != GgufType::String) {
      array.bytes = cursor_.take(count * least, key);
    } else {
      const uint64_t begin = cursor_.position();
      for (uint64_t i = 0; i < count; i++) cursor_.string(key, longest_array_string);
      array.bytes = bytes_.subspan(begin, cursor_.position() - begin);
    }
    if (array.type == GgufType::Bool)
      for (std::byte b : array.bytes) check(b <= std::byte{1}, "gguf: a BOOL is 0 or 1", printable(key), "in", path_);
    return array;
  }

  void read_alignment() {
    const auto place = values_.find("general.alignment");
    if (place != values_.end()) alignment_ = std::get<uint64_t>(place->second);
    check(std::has_single_bit(alignment_), "gguf: general.alignment is a power of two, not", alignment_, "in", path_);
  }

  StoredTensor read_tensor() {
    StoredTensor tensor;
    tensor.name = cursor_.string("a tensor name", longest_tensor_name);
    check(!tensor.name.empty() && tensor.name.find('\0') == tensor.name.npos, "gguf: a tensor name is empty or holds a NUL",
          printable(tensor.name), path_);
    check(names_.insert(tensor.name).second, "gguf: duplicate tensor name", printable(tensor.name), "in", path_);
    const auto rank = cursor_.number<uint32_t>("the rank of a tensor");
    check(rank <= Shape::max_rank, "gguf: a tensor has at most 4 dimensions", printable(tensor.name), rank, "in", path_);
    int64_t size[Shape::max_rank] = {1, 1, 1, 1}, elements = 1;
    for (uint32_t i = 0; i < rank; i++) {
      size[i] = cursor_.number<int64_t>("the shape of a tensor");
      const bool fits = size[i] >= 0 && !__builtin_mul_overflow(elements, size[i], &elements);
      check(fits, "gguf: overflow, the product of the shape exceeds 63 bits", printable(tensor.name), "dimension", i, size[i], "in", path_);
    }
    for (uint32_t i = rank; i-- > 0;) tensor.shape.push_back(size[i]);
    const auto id = cursor_.number<uint32_t>("the type of a tensor");
    const auto dtype = dtype_of_ggml(id);
    if (!dtype) fail("gguf: unsupported", describe_ggml_type(id), "in tensor", printable(tensor.name), "of", path_);
    tensor.dtype = *dtype;
    const DTypeInfo& type = info(*dtype);
    check(size[0] % type.block == 0, "gguf: a row is a whole number of blocks", printable(tensor.name), *dtype, size[0], "of", type.block,
          "in", path_);
    check(!__builtin_mul_overflow(elements / type.block, type.bytes, &tensor.bytes), "gguf: overflow, the size in bytes exceeds 63 bits",
          printable(tensor.name), tensor.shape, "in", path_);
    const auto offset = cursor_.number<uint64_t>("the offset of a tensor");
    check(offset % alignment_ == 0, "gguf: tensor is not aligned", printable(tensor.name), "offset", offset, "alignment", alignment_, "in",
          path_);
    offsets_.push_back(offset);
    return tensor;
  }

  /// Finds the bytes of every tensor once the table is read; no two tensors share a byte.
  void place_tensors(std::vector<StoredTensor>& tensors, const std::shared_ptr<const void>& owner) const {
    // Below 2^63 + 2^31, since a file has a size of 63 bits and the alignment is a UINT32.
    const uint64_t start = (cursor_.position() + alignment_ - 1) / alignment_ * alignment_;
    const uint64_t available = start < bytes_.size() ? bytes_.size() - start : 0;
    for (size_t i = 0; i < tensors.size(); i++) {
      StoredTensor& tensor = tensors[i];
      const auto size = static_cast<uint64_t>(tensor.bytes);
      const bool inside = offsets_[i] <= available && size <= available - offsets_[i];
      check(inside || opening_ == Opening::HeadersOnly, "gguf: tensor exceeds the file", printable(tensor.name), "offset", offsets_[i],
            "bytes", tensor.bytes, "of", available, "in", path_);
      if (inside && size > 0) tensor.data = bytes_.data() + start + offsets_[i];
      tensor.owner = owner;
    }
    check_overlap(tensors);
  }

  void check_overlap(const std::vector<StoredTensor>& tensors) const {
    std::vector<size_t> order;
    for (size_t i = 0; i < tensors.size(); i++)
      if (tensors[i].bytes > 0) order.push_back(i);
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return offsets_[a] < offsets_[b]; });
    for (size_t i = 1; i < order.size(); i++) {
      const size_t a = order[i - 1], b = order[i];
      check(offsets_[b] - offsets_[a] >= static_cast<uint64_t>(tensors[a].bytes), "gguf: tensors overlap", printable(tensors[a].name),
            printable(tensors[b].name), "in", path_);
    }
  }

  Cursor cursor_;
  std::span<const std::byte> bytes_;
  const std::string& path_;
  Opening opening_;
  uint32_t version_ = 0;
  uint64_t tensors_ = 0, keys_ = 0, alignment_ = 32;
  GgufMetadata::Map values_;
  std::unordered_set<std::string> names_;
  std::vector<uint64_t> offsets_;
};

}  // namespace

Gguf parse_gguf(std::span<const std::byte> bytes, const std::string& path, std::shared_ptr<const void> owner, Opening opening) {
  return Reader(bytes, path, opening).read(std::move(owner));
}

}  // namespace infernum
