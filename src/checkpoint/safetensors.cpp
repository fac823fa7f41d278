#include "checkpoint/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "checkpoint/safetensors_header.h"
#include "checkpoint/tensor_names.h"
#include "checkpoint/text_file.h"
#include "core/check.h"
#include "core/mapped_file.h"

namespace infernum {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are used in place");

constexpr uint64_t longest_header = 100'000'000;

/// Every byte of the data belongs to exactly one tensor.
void check_coverage(std::vector<SafetensorsEntry>& entries, int64_t data_bytes, const std::string& path, Opening opening) {
  std::sort(entries.begin(), entries.end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });
  int64_t position = 0;
  for (const SafetensorsEntry& entry : entries) {
    // Spelled out, since a check() would make the message for each of a million entries.
    if (entry.begin < position)
      fail("safetensors: tensors overlap", printable(entry.name), "begins at", entry.begin, "before", position, "in", path);
    if (entry.begin > position)
      fail("safetensors: buffer not covered, hole before", printable(entry.name), position, entry.begin, "in", path);
    position = entry.end;
  }
  const bool complete = position == data_bytes || (opening == Opening::HeadersOnly && position > data_bytes);
  check(complete, "safetensors: buffer not covered, the tensors end at", position, "but the data has", data_bytes, "bytes in", path);
}

}  // namespace

Safetensors parse_safetensors(std::span<const std::byte> bytes, const std::string& path, const std::shared_ptr<const void>& owner,
                              Opening opening) {
  check(bytes.size() >= 8, "safetensors: file is too small for a header length", path, bytes.size(), "bytes");
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), 8);
  check(header_bytes <= longest_header, "safetensors: header too large", path, header_bytes, ">", longest_header);
  check(header_bytes <= bytes.size() - 8, "safetensors: bad header length, the header exceeds the file", path, header_bytes, bytes.size());
  const std::span<const std::byte> data = bytes.subspan(8 + header_bytes);
  SafetensorsHeader header = parse_safetensors_header({reinterpret_cast<const char*>(bytes.data()) + 8, header_bytes}, path);
  const auto data_bytes = static_cast<int64_t>(data.size());
  check_coverage(header.entries, data_bytes, path, opening);

  Safetensors file;
  file.metadata = std::move(header.metadata);
  file.tensors.reserve(header.entries.size());
  for (SafetensorsEntry& entry : header.entries) {
    if (entry.rank > Shape::max_rank) {
      // The patch embeddings of vision towers have five dimensions; nobody here reads them.
      if (ignorable(strip_wrapper(entry.name), 1 << 30)) continue;
      fail("safetensors: a tensor has at most 4 dimensions", printable(entry.name), "has", entry.rank, "in", path);
    }
    StoredTensor& tensor = file.tensors.emplace_back();
    tensor.name = std::move(entry.name);
    tensor.dtype = entry.dtype;
    for (int i = 0; i < entry.rank; i++) tensor.shape.push_back(entry.size[static_cast<size_t>(i)]);
    tensor.bytes = entry.end - entry.begin;
    if (entry.end <= data_bytes) tensor.data = data.data() + entry.begin;
    tensor.owner = owner;
  }
  return file;
}

Safetensors open_safetensors(const std::string& path, Opening opening) {
  const auto file = MappedFile::open(path);
  Safetensors parsed = parse_safetensors(file->bytes(), path, file, opening);
  for (StoredTensor& tensor : parsed.tensors) tensor.file = file.get();
  return parsed;
}

}  // namespace infernum
