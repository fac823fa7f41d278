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
#include "support/fuzz_json.h"

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

/// Behind a first byte that chooses what the text is.
std::vector<std::string> make_seeds() {
  const std::string sizes = R"("hidden_size":8,"intermediate_size":8,"num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":1,
    "vocab_size":9,"max_position_embeddings":32,"rms_norm_eps":1e-5,"hidden_act":"silu","bos_token_id":1,"eos_token_id":[2,3]})";
  std::vector<std::string> seeds;
  for (const char* rest :
       {R"("model_type":"llama","rope_theta":1e4,"rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,
          "original_max_position_embeddings":16},)",
        R"("model_type":"mistral","sliding_window":4,"head_dim":6,"rope_scaling":{"type":"linear","factor":2},)",
        R"("model_type":"mixtral","num_local_experts":4,"num_experts_per_tok":2,)",
        R"("model_type":"qwen2","rope_scaling":{"type":"yarn","factor":4,"original_max_position_embeddings":16},)",
        R"("model_type":"llama","rope_scaling":{"type":"longrope","short_factor":[1,2],"long_factor":[3,4]},
          "original_max_position_embeddings":16,)",
        R"("model_type":"qwen3_moe","num_experts":4,"num_experts_per_tok":2,"moe_intermediate_size":8,"norm_topk_prob":true,
          "tie_word_embeddings":true,)"})
    seeds.push_back(std::string(1, '\0') + "{" + rest + sizes);
  for (const std::string& config : testutil::golden_configs()) seeds.push_back(std::string(1, '\0') + config);
  for (const std::string& tokenizer : testutil::tokenizer_json_seeds()) seeds.push_back("\1" + tokenizer);
  std::string both = testutil::tokenizer_json_seeds()[2];
  both.insert(1, R"("bos_token":"<s>","eos_token":{"content":"<t> "},"add_bos_token":true,"unk_token_id":0,
    "chat_template":[{"name":"default","template":"{{ x }}"},{"name":"tool_use","template":"y"}],)");
  seeds.push_back("\2" + both);
  return seeds;
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned random) {
  static const std::vector<std::string> seeds = make_seeds();
  return infernum::testutil::mutate_json(seeds, data, size, max_size, random, 1);
}

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
