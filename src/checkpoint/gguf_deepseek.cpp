// Configurations of DeepSeek V2 and V3, in both directions: latent attention, whose file looks like one key-value head.
#include <nlohmann/json.hpp>

#include "checkpoint/config_view.h"
#include "checkpoint/gguf_hooks.h"
#include "checkpoint/gguf_keys.h"
#include "checkpoint/gguf_moe.h"
#include "checkpoint/gguf_source.h"
#include "core/check.h"

namespace infernum::gguf_hooks {
namespace {

using nlohmann::json;

constexpr int64_t softmax = 1, sigmoid = 2;
// Files made before expert_group_count existed, of the one model that needs it.
constexpr int64_t v3_experts = 256, v3_groups = 8, v3_groups_used = 4;

void read_latent_attention(const GgufSource& s, json& config) {
  const int64_t heads = s.require_same_in_all_layers("attention.head_count");
  s.same_in_all_layers("attention.head_count_kv");  // 1 or head_count: the layout of the tensors says the same
  const int64_t rotary = s.require("rope.dimension_count"), rank = s.require("attention.kv_lora_rank");
  const auto key_mla = s.find("attention.key_length_mla"), value_mla = s.find("attention.value_length_mla");
  const int64_t key_length = s.require("attention.key_length"), value_length = s.require("attention.value_length");
  const int64_t keys = key_mla.value_or(key_length), values = value_mla.value_or(value_length);
  check(rotary < keys && rotary % 2 == 0, "gguf: rope.dimension_count is even and below the length of a key", rotary, keys, "in",
        s.metadata.path());
  config["num_attention_heads"] = heads;
  config["num_key_value_heads"] = heads;
  config["kv_lora_rank"] = rank;
  const auto q_rank = s.find("attention.q_lora_rank", 0);
  const bool full_rank = q_rank.value_or(0) == 0 || s.any_layer_has("attn_q.weight");
  config["q_lora_rank"] = full_rank ? json(nullptr) : json(*q_rank);
  config["qk_nope_head_dim"] = keys - rotary;
  config["qk_rope_head_dim"] = rotary;
  config["qk_head_dim"] = keys;
  config["v_head_dim"] = values;
  config["head_dim"] = rotary;
  config["attention_bias"] = s.any_layer_has("attn_kv_a_mqa.bias");
}

}  // namespace

void read_deepseek(const GgufSource& s, json& config) {
  read_latent_attention(s, config);
  const int64_t experts = read_experts(s, "n_routed_experts", config);
  const int64_t gating = s.find("expert_gating_func", 0).value_or(0) == sigmoid ? sigmoid : softmax;
  require_gating(s, gating, softmax);
  config["moe_intermediate_size"] = s.require("expert_feed_forward_length");
  const bool old = gating == sigmoid && experts == v3_experts;
  config["n_group"] = s.find("expert_group_count").value_or(old ? v3_groups : 1);
  config["topk_group"] = s.find("expert_group_used_count").value_or(old ? v3_groups_used : 1);
  const bool grouped = config["n_group"].get<int64_t>() > 1;
  config["topk_method"] = gating == sigmoid ? "noaux_tc" : grouped ? "group_limited_greedy" : "greedy";
  // The factor of cos and sin; the scores need mscale_all_dim by itself.
}

void write_deepseek(const ConfigView& config, GgufKeys& keys) {
  const int64_t rotary = config.integer("qk_rope_head_dim"), rank = config.integer("kv_lora_rank");
  keys.integer("attention.head_count", config.integer("num_attention_heads"));
  keys.integer("attention.head_count_kv", 1);
  keys.integer("attention.key_length", rank + rotary);
  keys.integer("attention.value_length", rank);
  keys.integer("attention.key_length_mla", config.integer("qk_nope_head_dim") + rotary);
  keys.integer("attention.value_length_mla", config.integer("v_head_dim"));
  keys.integer("attention.kv_lora_rank", rank);
  if (const auto q_rank = config.find_integer({"q_lora_rank"})) keys.integer("attention.q_lora_rank", *q_rank);
  keys.integer("rope.dimension_count", rotary);
  write_experts(config, keys);
  const bool v3 = config.text("model_type") != "deepseek_v2";
  const std::string scoring = config.find_text("scoring_func").value_or(v3 ? "sigmoid" : "softmax");
  check(scoring == (v3 ? "sigmoid" : "softmax"), "config.json: unexpected scoring_func", scoring);
  keys.integer("expert_gating_func", v3 ? sigmoid : softmax);
  if (!v3 && config.find_text("topk_method").value_or("greedy") == "greedy") {
    keys.integer("expert_group_count", 1);
    keys.integer("expert_group_used_count", 1);
  }
  check(config.flag("rope_interleave", true), "config.json: GGUF files of deepseek2 imply rope_interleave");
}

}  // namespace infernum::gguf_hooks
