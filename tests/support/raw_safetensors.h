// A minimal reader of trusted safetensors files for the tests of folders below src/checkpoint, where the real reader lives.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace infernum::testutil {

struct RawTensor {
  std::string dtype;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;

  /// The bytes as values of T.
  template <class T>
  std::vector<T> values() const {
    std::vector<T> result(bytes.size() / sizeof(T));
    std::memcpy(result.data(), bytes.data(), result.size() * sizeof(T));
    return result;
  }
};

inline std::map<std::string, RawTensor> read_raw_safetensors(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  uint64_t header_bytes = 0;
  file.read(reinterpret_cast<char*>(&header_bytes), 8);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::string header(header_bytes, ' ');
  file.read(header.data(), static_cast<std::streamsize>(header_bytes));
  std::map<std::string, RawTensor> tensors;
  const auto entries = nlohmann::json::parse(header);
  for (const auto& [name, entry] : entries.items()) {
    if (name == "__metadata__") continue;
    const auto begin = entry["data_offsets"][0].get<uint64_t>(), end = entry["data_offsets"][1].get<uint64_t>();
    RawTensor tensor{entry["dtype"], entry["shape"], std::vector<std::byte>(end - begin)};
    file.seekg(static_cast<std::streamoff>(8 + header_bytes + begin));
    file.read(reinterpret_cast<char*>(tensor.bytes.data()), static_cast<std::streamsize>(end - begin));
    if (!file) throw std::runtime_error("cannot read " + name + " of " + path);
    tensors.emplace(name, std::move(tensor));
  }
  return tensors;
}

}  // namespace infernum::testutil
