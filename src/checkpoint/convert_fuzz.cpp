// Fuzz target: the first byte says whether the rest is a config.json or a tokenizer.json; only Error may come out.
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "checkpoint/config_view.h"
#include "checkpoint/convert_config.h"
#include "checkpoint/convert_plan.h"
#include "checkpoint/convert_tokenizer.h"
#include "checkpoint/gguf_writer.h"
#include "core/check.h"

namespace {

using namespace infernum;

void convert_config(const std::string& text, GgufWriter& writer) {
  const nlohmann::json config = text_config(parse_json_object(text, "config.json"));
  const GgufFamily& family = writable_family(ConfigView(config).text("model_type"));
  rope_factors(config, family);
  write_hyper_parameters(config, family, writer);
  plan_tensors(config, family, TensorSource());
}

void convert_tokenizer(const std::string& text, bool both, GgufWriter& writer) {
  Checkpoint checkpoint;
  checkpoint.tokenizer_json = text;
  checkpoint.config_json = checkpoint.tokenizer_config_json = both ? text : "{}";
  checkpoint.eos_token_ids = {0, 1, 2, 3};
  write_tokenizer(checkpoint, 64, writer);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  try {
    GgufWriter writer("/tmp/infernum_convert_fuzz_" + std::to_string(::getpid()));  // never finished, so never there
    if (data[0] % 4 == 0)
      convert_config(text, writer);
    else
      convert_tokenizer(text, data[0] % 2 == 0, writer);
  } catch (const infernum::Error&) {}
  return 0;
}
