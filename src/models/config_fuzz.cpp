// Fuzz target: any bytes are either a config.json whose network can be traced, or an Error.
#include "checkpoint/checkpoint.h"
#include "core/check.h"
#include "models/loader.h"
#include "support/fuzz_json.h"

namespace {

/// The golden configs have every family; these beside them every way to scale rotary positions and choose layers.
std::vector<std::string> make_seeds() {
  const std::string sizes = R"("hidden_size":8,"intermediate_size":8,"num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":1,
    "vocab_size":9,"max_position_embeddings":32,"rms_norm_eps":1e-5,"hidden_act":"silu","tie_word_embeddings":false)";
  const auto config = [&](const std::string& architecture, const std::string& rest) {
    return R"({"architectures":[")" + architecture + "\"]," + sizes + (rest.empty() ? "" : "," + rest) + "}";
  };
  std::vector<std::string> seeds = infernum::testutil::golden_configs();
  for (const char* rest :
       {R"("attention_bias":true,"rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4})",
        R"("rope_parameters":{"rope_type":"yarn","factor":4,"beta_fast":32,"beta_slow":1,"mscale":1,"rope_theta":1e4})",
        R"("rope_scaling":{"type":"longrope","short_factor":[1,2],"long_factor":[3,4]},"original_max_position_embeddings":16)",
        R"("head_dim":6,"rope_scaling":{"type":"dynamic","factor":2})", R"("head_dim":4,"rope_scaling":{"type":"linear","factor":2})"})
    seeds.push_back(config("LlamaForCausalLM", rest));
  seeds.push_back(config("MistralForCausalLM", R"("sliding_window":4)"));
  seeds.push_back(
      config("Qwen2ForCausalLM",
             R"("use_sliding_window":true,"sliding_window":4,"max_window_layers":1,"layer_types":["full_attention","sliding_attention"])"));
  seeds.push_back(R"({"architectures":["LlamaForCausalLM"],"text_config":)" + config("LlamaForCausalLM", "") + "}");
  return seeds;
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned random) {
  static const std::vector<std::string> seeds = make_seeds();
  return infernum::testutil::mutate_json(seeds, data, size, max_size, random);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  infernum::Checkpoint checkpoint;
  checkpoint.config_json.assign(reinterpret_cast<const char*>(data), size);
  try {
    infernum::trace_model(checkpoint, {}, 3, true);
  } catch (const infernum::Error&) {}
  return 0;
}
