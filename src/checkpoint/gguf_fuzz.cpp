// Any bytes are either a GGUF file whose values can be read and whose tensors lie inside it, or an Error.
#include <cstdlib>
#include <set>

#include "checkpoint/convert.h"
#include "checkpoint/gguf.h"
#include "checkpoint/gguf_config.h"
#include "checkpoint/gguf_family.h"
#include "checkpoint/gguf_tensors.h"
#include "checkpoint/test_files.h"
#include "core/check.h"
#include "support/fuzz_seeds.h"

namespace {

using infernum::testutil::GgufBuilder;
using infernum::testutil::little_endian;

GgufBuilder model(const std::string& arch) {
  GgufBuilder b;
  b.string("general.architecture", arch);
  for (const char* key : {"block_count", "embedding_length", "feed_forward_length", "attention.head_count", "context_length",
                          "attention.key_length", "expert_feed_forward_length", "expert_count", "expert_used_count"})
    b.u32(arch + "." + key, 4);
  b.f32(arch + ".attention.layer_norm_rms_epsilon", 1e-5f)
      .f32(arch + ".rope.scaling.factor", 2)
      .string(arch + ".rope.scaling.type", "yarn");
  b.strings("tokenizer.ggml.tokens", {"a", "b"}).u32("tokenizer.ggml.eos_token_id", 1);
  return b.tensor("token_embd.weight", {4, 2}, 0, std::string(32, 'e')).tensor("rope_freqs.weight", {2}, 0, std::string(8, '?'));
}

/// What stands before the data in files made of the golden models: the keys and tensors of every family.
std::vector<std::string> golden_headers() {
  const infernum::testutil::TemporaryFolder folder;
  std::vector<std::string> headers;
  std::set<std::string, std::less<>> families;
  for (const std::string& model : infernum::testutil::golden_models()) {
    const std::string path = folder / "model.gguf";
    try {
      infernum::convert_to_gguf({model, path, std::nullopt, 1, {}});
    } catch (const infernum::Error&) {
      continue;  // GGUF cannot express all of them
    }
    std::string file = infernum::testutil::bytes_of_file(path);
    const infernum::Gguf gguf = infernum::parse_gguf(std::as_bytes(std::span(file)), path, nullptr, infernum::Opening::Complete);
    size_t data = file.size();
    for (const infernum::StoredTensor& tensor : gguf.tensors)
      data = std::min(data, static_cast<size_t>(reinterpret_cast<const char*>(tensor.data) - file.data()));
    families.emplace(gguf.metadata->require_string("general.architecture"));
    headers.push_back(file.substr(0, data));
  }
  for (const infernum::GgufFamily& family : infernum::gguf_families())
    if (!families.count(family.arch)) std::abort();
  return headers;
}

std::vector<std::string> make_seeds() {
  std::vector<std::string> seeds = golden_headers();
  for (const infernum::GgufFamily& family : infernum::gguf_families()) seeds.push_back(model(std::string(family.arch)).file());
  GgufBuilder b;
  b.u32("general.alignment", 32).raw("a", 9, little_endian<uint32_t>(3) + little_endian<uint64_t>(2) + "1234").raw("b", 7, "\x01");
  seeds.push_back(b.tensor("blk.0.attn_q.weight", {32, 2}, 2, std::string(36, 'q')).tensor("s", {}, 24, "1").file());
  return seeds;
}

/// Asks for the key in every kind; all but one of the answers are errors.
void read_all_kinds(const infernum::GgufMetadata& m, const std::string& key) {
  const auto attempt = [](auto&& read) {
    try {
      read();
    } catch (const infernum::Error&) {}
  };
  attempt([&] { m.find_int(key); });
  attempt([&] { m.find_float(key); });
  attempt([&] { m.find_bool(key); });
  attempt([&] { m.find_string(key); });
  attempt([&] { m.find_ints(key); });
  attempt([&] { m.find_floats(key); });
  attempt([&] { m.find_bools(key); });
  attempt([&] { m.find_bytes(key); });
  attempt([&] { m.find_per_layer(key, 2, 0, 9); });
  attempt([&] {
    if (const auto strings = m.find_strings(key)) {
      size_t sum = 0;
      for (std::string_view text : *strings)
        for (char c : text) sum += static_cast<unsigned char>(c);
      if (sum == ~size_t{0}) std::abort();
    }
  });
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned random) {
  static const std::vector<std::string> seeds = make_seeds();
  return infernum::testutil::mutate_from_seeds(seeds, data, size, max_size, random);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  for (const infernum::Opening opening : {infernum::Opening::Complete, infernum::Opening::HeadersOnly}) {
    try {
      const infernum::Gguf gguf = infernum::parse_gguf(bytes, "fuzz", nullptr, opening);
      for (const auto& [key, value] : gguf.metadata->values()) read_all_kinds(*gguf.metadata, key);
      for (const infernum::StoredTensor& tensor : gguf.tensors) {
        if (tensor.bytes != infernum::bytes_of(tensor.dtype, tensor.shape.elements())) std::abort();
        if (tensor.data && (tensor.data < bytes.data() || tensor.bytes > bytes.data() + size - tensor.data)) std::abort();
        if (!tensor.data && tensor.bytes && opening == infernum::Opening::Complete) std::abort();
      }
      infernum::TensorSource tensors;
      infernum::add_gguf_tensors(gguf.tensors, infernum::make_gguf_config(gguf), tensors);
    } catch (const infernum::Error&) {}
  }
  return 0;
}
