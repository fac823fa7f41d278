// The GGUF v3 container, written.
#include "checkpoint/gguf_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "checkpoint/gguf_types.h"
#include "core/check.h"

namespace infernum {
namespace {

constexpr uint32_t array_type = 9;
constexpr size_t longest_tensor_name = 63, longest_key = 65535;

template <class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));  // little-endian, as every machine this runs on
}

void append_string(std::string& out, std::string_view text) {
  append(out, static_cast<uint64_t>(text.size()));
  out += text;
}

/// The scalars of GgufWriter::Value have the ids of the format, but that arrays stand at 9 and shift the last three.
template <class T>
uint32_t value_type() {
  const auto index = static_cast<uint32_t>(GgufWriter::Value(T{}).index());
  return index < array_type ? index : index + 1;
}

template <class T>
void append_scalar(std::string& out, const T& value) {
  if constexpr (std::is_same_v<T, std::string>)
    append_string(out, value);
  else if constexpr (std::is_same_v<T, bool>)
    append(out, static_cast<uint8_t>(value));
  else
    append(out, value);
}

struct AppendValue {
  std::string& out;

  template <class T>
  void operator()(const T& scalar) const {
    append(out, value_type<T>());
    append_scalar(out, scalar);
  }
  template <class T>
  void operator()(const std::vector<T>& array) const {
    append(out, array_type);
    append(out, value_type<T>());
    append(out, static_cast<uint64_t>(array.size()));
    for (typename std::vector<T>::const_reference element : array) append_scalar<T>(out, element);
  }
};

uint64_t padded(uint64_t bytes, uint64_t alignment) { return (bytes + alignment - 1) / alignment * alignment; }

}  // namespace

/// The file under its temporary name; gone again unless renamed.
class GgufWriter::File {
 public:
  explicit File(const std::string& path) : name_(path + ".part-" + std::to_string(::getpid())) {
    fd_ = ::open(name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    check(fd_ >= 0, "cannot create", name_, std::strerror(errno));
  }
  ~File() {
    if (fd_ >= 0) ::close(fd_);
    if (!renamed_) ::unlink(name_.c_str());
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  void write(const void* data, size_t bytes) {
    const auto* at = static_cast<const char*>(data);
    while (bytes > 0) {
      const ssize_t n = ::write(fd_, at, bytes);
      if (n < 0 && errno == EINTR) continue;
      check(n > 0, "cannot write to", name_, std::strerror(errno));
      at += n;
      bytes -= static_cast<size_t>(n);
    }
  }

  void become(const std::string& path) {
    check(::fsync(fd_) == 0, "cannot write to", name_, std::strerror(errno));
    check(::close(std::exchange(fd_, -1)) == 0, "cannot write to", name_, std::strerror(errno));
    check(std::rename(name_.c_str(), path.c_str()) == 0, "cannot rename", name_, "to", path, std::strerror(errno));
    renamed_ = true;
  }

 private:
  std::string name_;
  int fd_ = -1;
  bool renamed_ = false;
};

GgufWriter::GgufWriter(std::string path, uint32_t alignment) : path_(std::move(path)), alignment_(alignment) {
  check(alignment >= 8 && (alignment & (alignment - 1)) == 0, "gguf: the alignment must be a power of two from 8 on", alignment);
  file_ = std::make_unique<File>(path_);
  if (alignment != 32) set("general.alignment", alignment);
}

GgufWriter::~GgufWriter() = default;

void GgufWriter::add_key(std::string_view key) {
  check(!in_data_, "gguf: metadata comes before tensor data", key);
  check(!key.empty() && key.size() <= longest_key, "gguf: a key has 1 to 65535 bytes", key.size());
  check(key_names_.emplace(key).second, "gguf: key set twice", key);
  append_string(metadata_, key);
  ++keys_;
}

void GgufWriter::set(std::string_view key, const Value& value) {
  add_key(key);
  std::visit(AppendValue{metadata_}, value);
}

void GgufWriter::set_array(std::string_view key, uint32_t element_type, int64_t count, std::span<const std::byte> bytes) {
  add_key(key);
  append(metadata_, array_type);
  append(metadata_, element_type);
  append(metadata_, static_cast<uint64_t>(count));
  metadata_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void GgufWriter::declare(std::string_view name, DType type, const Shape& shape) {
  check(!in_data_, "gguf: tensors are declared before any data is written", name);
  check(!name.empty() && name.size() <= longest_tensor_name, "gguf: a tensor name has 1 to 63 bytes", name);
  const auto id = ggml_of_dtype(type);
  check(id.has_value(), "gguf: the format has no such tensor type", type, name);
  check(shape.rank() == 0 || shape.last() % info(type).block == 0, "gguf: rows must be whole blocks", name, type, shape);
  check(shape.rank() > 0 || info(type).block == 1, "gguf: a scalar is no block", name, type);
  check(names_.emplace(name).second, "gguf: tensor declared twice", name);
  append_string(infos_, name);
  append(infos_, static_cast<uint32_t>(shape.rank()));
  for (int i = shape.rank() - 1; i >= 0; --i) append(infos_, static_cast<uint64_t>(shape[i]));
  append(infos_, *id);
  append(infos_, data_bytes_);
  const int64_t bytes = bytes_of(type, shape.elements());
  tensors_.push_back({std::string(name), bytes});
  data_bytes_ += padded(static_cast<uint64_t>(bytes), alignment_);
}

void GgufWriter::start_data() {
  std::string head = "GGUF";
  append(head, uint32_t{3});
  append(head, static_cast<uint64_t>(tensors_.size()));
  append(head, keys_);
  head += metadata_;
  head += infos_;
  head.resize(padded(head.size(), alignment_));
  file_->write(head.data(), head.size());
  metadata_ = infos_ = {};
  in_data_ = true;
}

void GgufWriter::write(std::span<const std::byte> bytes) {
  if (!in_data_) start_data();
  while (current_ < tensors_.size() && written_ == tensors_[current_].bytes) write_padding();
  if (bytes.empty()) return;
  check(current_ < tensors_.size(), "gguf: more data than declared", "bytes", bytes.size());
  const Tensor& tensor = tensors_[current_];
  check(static_cast<int64_t>(bytes.size()) <= tensor.bytes - written_, "gguf: more data than declared", tensor.name, "bytes", tensor.bytes);
  file_->write(bytes.data(), bytes.size());
  written_ += static_cast<int64_t>(bytes.size());
}

void GgufWriter::write_padding() {
  const std::string zeros(padded(static_cast<uint64_t>(written_), alignment_) - static_cast<uint64_t>(written_), '\0');
  file_->write(zeros.data(), zeros.size());
  written_ = 0;
  ++current_;
}

void GgufWriter::finish() {
  write({});
  if (current_ < tensors_.size()) fail("gguf: data missing", tensors_[current_].name, "written", written_, "of", tensors_[current_].bytes);
  file_->become(path_);
}

}  // namespace infernum
