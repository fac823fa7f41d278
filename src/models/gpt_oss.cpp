#include "models/gpt_oss.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {
namespace gpt_oss {

Config::Config(const ConfigReader& json)
    : DecoderConfig(json, {.head_dim = 64,
                           .rms_norm_eps = 1e-5,
                           .quant_method = "mxfp4",
                           .rope_theta = 150000,
                           .max_position_embeddings = 131072,
                           .num_key_value_heads = 8}),
      num_local_experts(json.size("num_local_experts", 128)),
      num_experts_per_tok(json.has("num_experts_per_tok") ? json.size("num_experts_per_tok") : json.size("experts_per_token", 4)),
      attention_bias(json.boolean("attention_bias").value_or(true)),
      swiglu_limit(static_cast<float>(json.number("swiglu_limit").value_or(7))) {
  check_experts(num_local_experts, num_hidden_layers);
  check(swiglu_limit > 0, "config.json: swiglu_limit is positive", swiglu_limit);
  if (json.has("experts_per_token"))
    check(json.size("experts_per_token") == num_experts_per_tok, "config.json: two keys for the experts of a token must agree",
          "experts_per_token =", json.size("experts_per_token"), "num_experts_per_tok =", num_experts_per_tok);
  if (!json.has("rope_parameters") && !json.has("rope_scaling")) {
    RopeConfig& rope = ropes[0];
    rope.rope_type = "yarn";
    rope.factor = 32;
    rope.original_max_position_embeddings = 4096;
    rope.truncate = false;
  }
  const auto types = read_layer_types(json, num_hidden_layers, {"sliding_attention", "full_attention"},
                                      [](int64_t i) { return i % 2 == 0 ? "sliding_attention" : "full_attention"; });
  windows = windows_of(json, types, 128);
}

}  // namespace gpt_oss

const Family gpt_oss_family = family<gpt_oss::Config, gpt_oss::GptOss>("gpt_oss", {"GptOssForCausalLM"});

}  // namespace infernum
