// Any text is either an index of bare shard names, or an Error.
#include <cstdlib>

#include "checkpoint/safetensors_index.h"
#include "checkpoint/side_files.h"
#include "core/check.h"
#include "support/fuzz_seeds.h"

namespace {

const std::vector<std::string>& seeds() {
  static const std::vector<std::string> made = {
      R"({"metadata":{"total_size":4.0},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}})",
      R"({"weight_map":{"\u00e9":"x.safetensors"}})", R"({"eos_token_id":[1,2],"text_config":{"eos_token_id":3}})"};
  return made;
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned random) {
  return infernum::testutil::mutate_from_seeds(seeds(), data, size, max_size, random);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  try {
    for (const auto& [name, shard] : infernum::parse_safetensors_index(json, "fuzz"))
      if (shard.find('/') != shard.npos || shard.find("..") != shard.npos) std::abort();
  } catch (const infernum::Error&) {}
  std::vector<int> ids;
  try {
    infernum::collect_eos(json, "fuzz", ids);
  } catch (const infernum::Error&) {}
  for (int id : ids)
    if (id < 0) std::abort();
  return 0;
}
