#include "models/deepseek.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {
namespace deepseek {

Config::Config(const ConfigReader& json, MixtureConfig (*read)(const ConfigReader&, const DecoderConfig&),
               int64_t default_max_position_embeddings)
    : DecoderConfig(json, {.head_dim = json.size("qk_rope_head_dim", 64), .max_position_embeddings = default_max_position_embeddings}),
      latent{.hidden_size = hidden_size,
             .heads = num_attention_heads,
             .q_lora_rank = count_or_null(json, "q_lora_rank", 1536),
             .kv_lora_rank = json.size("kv_lora_rank", 512),
             .qk_nope_head_dim = json.size("qk_nope_head_dim", 128),
             .qk_rope_head_dim = json.size("qk_rope_head_dim", 64),
             .v_head_dim = json.size("v_head_dim", 128),
             .bias = json.boolean("attention_bias").value_or(false),
             .rope_table = 0,
             .rope_interleaved = json.boolean("rope_interleave").value_or(true),
             .scale = 1},
      mlp_bias(json.boolean("mlp_bias").value_or(false)),
      mixture(read(json, *this)) {
  const int64_t qk_head_dim = latent.qk_nope_head_dim + latent.qk_rope_head_dim;
  check(latent.kv_lora_rank <= 65536 && qk_head_dim <= 65536 && latent.v_head_dim <= 65536,
        "config.json: heads and latents of at most 65536 components", latent.kv_lora_rank, qk_head_dim, latent.v_head_dim);
  check(json.size("qk_head_dim", qk_head_dim) == qk_head_dim, "config.json: qk_head_dim is the sum of its two parts",
        json.size("qk_head_dim", qk_head_dim), qk_head_dim);
  // Only this part of a head rotates, whatever head_dim says.
  const RopeConfig rope = read_rope(json, latent.qk_rope_head_dim, max_position_embeddings);
  ropes = {rope};
  double scale = 1 / std::sqrt(static_cast<double>(qk_head_dim));
  if (rope.rope_type != "default" && rope.mscale_all_dim.value_or(0) != 0 && rope.factor > 1) {
    const double g = 0.1 * *rope.mscale_all_dim * std::log(rope.factor) + 1;
    scale *= g * g;
  }
  latent.scale = static_cast<float>(scale);
}

}  // namespace deepseek

const Family deepseek_v2_family = family<deepseek::V2Config, deepseek::Deepseek>("deepseek_v2", {"DeepseekV2ForCausalLM"});
const Family deepseek_v3_family = family<deepseek::V3Config, deepseek::Deepseek>("deepseek_v3", {"DeepseekV3ForCausalLM"});

}  // namespace infernum
