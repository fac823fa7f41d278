// Split GGUF files: <prefix>-00001-of-00003.gguf and so on, opened as one.
#include <cstdio>
#include <filesystem>
#include <unordered_set>

#include "checkpoint/gguf.h"
#include "checkpoint/text_file.h"
#include "core/check.h"
#include "core/mapped_file.h"

namespace infernum {
namespace {

constexpr int most_files = 65535;

std::string split_suffix(int64_t number, int64_t count) {
  char text[64];
  std::snprintf(text, sizeof text, "-%05d-of-%05d.gguf", static_cast<int>(number), static_cast<int>(count));
  return text;
}

Gguf open_one(const std::string& path, Opening opening) {
  const auto file = MappedFile::open(path);
  Gguf gguf = parse_gguf(file->bytes(), path, file, opening);
  for (StoredTensor& tensor : gguf.tensors) tensor.file = file.get();
  return gguf;
}

/// The path up to the number; the name of a split file has to agree with its metadata.
std::string split_prefix(const std::string& path, const GgufMetadata& metadata, int64_t count) {
  const int64_t number = metadata.require_int("split.no", 0, most_files - 1);
  const std::string expected = split_suffix(number + 1, count);
  check(path.ends_with(expected), "gguf: a split file is called <prefix> and then", expected, "not", path);
  std::string prefix = path.substr(0, path.size() - expected.size());
  check(number == 0, "gguf: open the first of the split files", prefix + split_suffix(1, count), "not", path);
  return prefix;
}

}  // namespace

Gguf open_gguf(const std::string& path, Opening opening) {
  Gguf first = open_one(path, opening);
  const int64_t count = first.metadata->find_int("split.count", 0, most_files).value_or(0);
  if (count <= 1) return first;
  const std::string prefix = split_prefix(path, *first.metadata, count);
  bool complete = true;
  for (int64_t i = 1; i < count; i++) {
    const std::string next_path = prefix + split_suffix(i + 1, count);
    if (opening == Opening::HeadersOnly && !std::filesystem::exists(next_path)) {
      complete = false;
      continue;
    }
    Gguf next = open_one(next_path, opening);
    const int64_t number = next.metadata->require_int("split.no"), its_count = next.metadata->require_int("split.count");
    check(number == i, "gguf: split.no disagrees with the file name", next_path, number, i);
    check(its_count == count, "gguf: split.count differs between the files", next_path, its_count, count);
    for (StoredTensor& tensor : next.tensors) first.tensors.push_back(std::move(tensor));
  }
  const auto total = first.metadata->find_int("split.tensors.count");
  const auto found = static_cast<int64_t>(first.tensors.size());
  if (complete && total && *total != found) fail("gguf: split.tensors.count disagrees with the tensors found", *total, found, "in", path);
  std::unordered_set<std::string_view> names;
  for (const StoredTensor& tensor : first.tensors)
    check(names.insert(tensor.name).second, "gguf: duplicate tensor name in split files", printable(tensor.name), path);
  return first;
}

}  // namespace infernum
