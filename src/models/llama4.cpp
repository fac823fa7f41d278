#include "models/llama4.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {
namespace llama4 {
namespace {

std::vector<bool> sparse_layers(const ConfigReader& json, int64_t layers) {
  const auto listed = json.numbers("moe_layers");
  const int64_t step = json.size("interleave_moe_layer_step", 1);
  std::vector<bool> sparse(static_cast<size_t>(layers));
  for (int64_t i = step - 1; listed.empty() && i < layers; i += step) sparse[static_cast<size_t>(i)] = true;
  for (double i : listed) {
    check(i >= 0 && i < static_cast<double>(layers), "config.json: moe_layers names layers of the model", i, layers);
    sparse[static_cast<size_t>(i)] = true;
  }
  return sparse;
}

}  // namespace

Config::Config(const ConfigReader& json)
    : DecoderConfig(
          json, {.head_dim = 128, .rms_norm_eps = 1e-5, .rope_theta = 500000, .max_position_embeddings = 131072, .num_key_value_heads = 8}),
      intermediate_size_mlp(json.size("intermediate_size_mlp", 16384)),
      num_local_experts(json.size("num_local_experts", 16)),
      num_experts_per_tok(json.size("num_experts_per_tok", 1)),
      attention_bias(json.boolean("attention_bias").value_or(false)),
      use_qk_norm(json.boolean("use_qk_norm").value_or(true)),
      attn_temperature_tuning(json.truth("attn_temperature_tuning").value_or(true)),
      position_scale{static_cast<float>(json.number("attn_scale").value_or(0.1)),
                     static_cast<float>(json.number("floor_scale").value_or(8192)), 1},
      sparse(sparse_layers(json, num_hidden_layers)) {
  check_experts(num_local_experts, num_hidden_layers);
  check(position_scale.floor_scale > 0, "config.json: floor_scale is positive", position_scale.floor_scale);
  ropes[0].rope_interleaved = true;
  const auto rotary = rotary_layers(json, num_hidden_layers);
  const auto types = read_layer_types(json, num_hidden_layers, {"chunked_attention", "full_attention"},
                                      [&](int64_t i) { return rotary[static_cast<size_t>(i)] ? "chunked_attention" : "full_attention"; });
  for (size_t i = 0; i < types.size(); i++) {
    if (!rotary[i]) layer_rope[i] = AttentionShape::no_rope;
    // A file that says null sees all.
    const bool chunked = types[i] == "chunked_attention" && !json.is_null("attention_chunk_size");
    chunks.push_back(chunked ? static_cast<int>(json.size("attention_chunk_size", 8192)) : 0);
  }
}

}  // namespace llama4

const Family llama4_family = family<llama4::Config, llama4::Llama4>("llama4_text", {"Llama4ForConditionalGeneration", "Llama4ForCausalLM"});

}  // namespace infernum
