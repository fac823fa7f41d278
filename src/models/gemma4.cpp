#include "models/gemma4.h"

#include "models/families.h"
#include "models/family_of.h"

namespace infernum {
namespace gemma4 {
namespace {

ConfigDefaults defaults() {
  ConfigDefaults d = gemma2::defaults;
  d.vocab_size = 262144;
  d.max_position_embeddings = 131072;
  return d;
}

}  // namespace

Config::Config(const ConfigReader& json)
    : DecoderConfig(json, defaults()),
      hidden_size_per_layer_input(
          json.integer("hidden_size_per_layer_input").value_or(json.is_null("hidden_size_per_layer_input") ? 0 : 256)),
      vocab_size_per_layer_input(json.size("vocab_size_per_layer_input", 262144)),
      attention_k_eq_v(json.boolean("attention_k_eq_v").value_or(false)),
      use_double_wide_mlp(json.boolean("use_double_wide_mlp").value_or(false)),
      attention_bias(json.boolean("attention_bias").value_or(false)),
      enable_moe_block(json.boolean("enable_moe_block").value_or(false)) {
  embedding_scale = gemma2::embedding_multiplier(hidden_size);
  logit_softcap = gemma2::read_softcap(json, "final_logit_softcapping", 0);
  check(json.string("use_bidirectional_attention").value_or("vision") == "vision",  // concerns images only
        "config.json: use_bidirectional_attention makes an encoder; implemented: null, vision",
        *json.string("use_bidirectional_attention"));
  if (enable_moe_block) {
    num_experts = json.size("num_experts");
    top_k_experts = json.size("top_k_experts");
    moe_intermediate_size = json.size("moe_intermediate_size");
    check_experts(num_experts, num_hidden_layers);
    check(top_k_experts <= num_experts, "config.json: top_k_experts are some of num_experts", top_k_experts, num_experts);
  }
  check(hidden_size_per_layer_input >= 0 && hidden_size_per_layer_input <= hidden_size, "config.json: hidden_size_per_layer_input",
        hidden_size_per_layer_input);
  check(hidden_size_per_layer_input == 0 || vocab_size_per_layer_input >= vocab_size,
        "config.json: vocab_size_per_layer_input must cover the vocabulary", vocab_size_per_layer_input, vocab_size);
  auto types = read_layer_types(json, num_hidden_layers, {"full_attention", "sliding_attention"},
                                [](int64_t layer) { return (layer + 1) % 6 ? "sliding_attention" : "full_attention"; });
  types.back() = "full_attention";
  windows = windows_of(json, types, 512);
  read_heads(json);
  read_ropes(json);
  share_caches(json.integer("num_kv_shared_layers").value_or(0), types);
}

/// `per_layer_config` overrides single layers; without it global_head_dim and num_global_key_value_heads hold for those that see all.
void Config::read_heads(const ConfigReader& json) {
  const auto overrides = json.object("per_layer_config");
  const int64_t global_dim = json.size("global_head_dim", 512);
  const int64_t global_heads = attention_k_eq_v ? json.size("num_global_key_value_heads", num_key_value_heads) : num_key_value_heads;
  for (int64_t i = 0; i < num_hidden_layers; i++) {
    const auto own = overrides ? overrides->object(std::to_string(i)) : std::nullopt;
    if (overrides)
      heads.push_back({own ? own->size("head_dim", head_dim) : head_dim,
                       own ? own->size("num_key_value_heads", num_key_value_heads) : num_key_value_heads});
    else
      heads.push_back(sees_all(i) ? Heads{global_dim, global_heads} : Heads{head_dim, num_key_value_heads});
    check(heads.back().head_dim <= 1024 && num_attention_heads % heads.back().num_key_value_heads == 0,
          "config.json: query heads must divide into groups of key-value heads of at most 1024 components", heads.back().head_dim,
          heads.back().num_key_value_heads);
    if (own)
      for (const auto& key : own->unread()) fail("config.json: unknown key in per_layer_config", i, key);
  }
}
/// Table 0: layers that see everything; table 1: layers with a window.
void Config::read_ropes(const ConfigReader& json) {
  const int64_t global_dim = heads.back().head_dim;
  ropes = {read_rope(json, global_dim, max_position_embeddings, {.rope_theta = 1e6}, "full_attention"),
           read_rope(json, head_dim, max_position_embeddings, {}, "sliding_attention")};
  if (!json.has("rope_parameters")) {
    ropes[0].rope_type = "proportional";
    ropes[0].proportion = 0.25;
  }
  for (size_t i = 0; i < windows.size(); i++) layer_rope[i] = windows[i] > 0 ? 1 : 0;
}

/// The last `shared` layers read the cache of the last layer of their type before them.
void Config::share_caches(int64_t shared, const std::vector<std::string>& types) {
  check(shared >= 0 && shared < num_hidden_layers, "config.json: num_kv_shared_layers is less than the layers", shared);
  for (int64_t i = 0; i < num_hidden_layers; i++) {
    int64_t donor = i < num_hidden_layers - shared ? i : num_hidden_layers - shared - 1;
    while (donor >= 0 && types[static_cast<size_t>(donor)] != types[static_cast<size_t>(i)]) donor--;
    check(donor >= 0, "config.json: num_kv_shared_layers leaves no layer of this type with a cache", types[static_cast<size_t>(i)]);
    check(heads[static_cast<size_t>(donor)].head_dim == heads[static_cast<size_t>(i)].head_dim,
          "config.json: a layer that shares a cache has heads of another size", i, donor);
    cache_of[static_cast<size_t>(i)] = donor;
  }
}

}  // namespace gemma4

const Family gemma4_family =
    family<gemma4::Config, gemma4::Gemma4>("gemma4", {"Gemma4ForCausalLM", "Gemma4ForConditionalGeneration"}, {"gemma4_text"});

}  // namespace infernum
