// Any bytes are either a safetensors file whose tensors lie inside it, or an Error.
#include <cstdlib>

#include "checkpoint/safetensors.h"
#include "checkpoint/test_files.h"
#include "core/check.h"
#include "support/fuzz_seeds.h"

namespace {

std::vector<std::string> make_seeds() {
  const auto file = [](const std::string& json, size_t data) {
    return infernum::testutil::little_endian<uint64_t>(json.size()) + json + std::string(data, 'd');
  };
  return {infernum::testutil::safetensors_of({"a", "b"}), file("{}", 0),
          file(R"({"__metadata__":{"format":"pt"},"t":{"dtype":"F4","shape":[2,3,4],"data_offsets":[0,12]}})", 12),
          file(
              R"({"t":{"dtype":"F6_E2M3","x":[{"y":null}],"shape":[4],"data_offsets":[0,3]},
            "s":{"dtype":"I64","shape":[],"data_offsets":[3,11]}})",
              11)};
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned random) {
  static const std::vector<std::string> seeds = make_seeds();
  return infernum::testutil::mutate_from_seeds(seeds, data, size, max_size, random);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const infernum::Opening opening : {infernum::Opening::Complete, infernum::Opening::HeadersOnly}) {
    try {
      const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
      for (const infernum::StoredTensor& tensor : infernum::parse_safetensors(bytes, "fuzz", nullptr, opening).tensors) {
        if (tensor.bytes != infernum::bytes_of(tensor.dtype, tensor.shape.elements())) std::abort();
        if (tensor.data && (tensor.data < bytes.data() || tensor.bytes > bytes.data() + size - tensor.data)) std::abort();
        if (!tensor.data && opening == infernum::Opening::Complete) std::abort();
      }
    } catch (const infernum::Error&) {}
  }
  return 0;
}
