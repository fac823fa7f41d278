// Configurations of mixtures of experts with ordinary attention, in both directions.
#include <cmath>
#include <nlohmann/json.hpp>

#include "checkpoint/config_view.h"
#include "checkpoint/gguf_hooks.h"
#include "checkpoint/gguf_keys.h"
#include "checkpoint/gguf_layer_types.h"
#include "checkpoint/gguf_moe.h"
#include "checkpoint/gguf_source.h"
#include "checkpoint/text_file.h"
#include "core/check.h"
#include "core/log.h"

namespace infernum::gguf_hooks {

using nlohmann::json;

namespace {
constexpr int64_t gpt_oss_period = 2, llama4_period = 4, llama4_chunk = 8192, llama4_experts_without_norm = 128;
constexpr double llama4_scale = 0.1;
}  // namespace

int64_t read_experts(const GgufSource& s, const char* count_key, json& config) {
  const int64_t experts = s.require("expert_count", 1, 65536);
  config[count_key] = experts;
  config["num_experts_per_tok"] = s.require("expert_used_count", 1, experts);
  return experts;
}

void require_gating(const GgufSource& s, int64_t only, int64_t otherwise) {
  const int64_t gating = s.find("expert_gating_func", 0).value_or(0);
  check((gating == 0 ? otherwise : gating) == only, "gguf: expert_gating_func is not supported for this architecture", gating,
        s.metadata.path());
}

void require_unscaled(const GgufSource& s) {
  const double scale = s.find_number("expert_weights_scale").value_or(1.0);
  check(scale == 0 || scale == 1, "gguf: expert_weights_scale is not supported for this architecture", scale, s.metadata.path());
}

void write_experts(const ConfigView& config, GgufKeys& keys) {
  const int64_t experts = config.experts();
  if (experts == 0) return;
  keys.integer("expert_count", experts);
  keys.integer("expert_used_count", *config.find_integer({"num_experts_per_tok", "experts_per_token"}, 1, experts));
  if (const auto width = config.find_integer({"moe_intermediate_size"})) keys.integer("expert_feed_forward_length", *width);
}

void read_mixtral(const GgufSource& s, json& config) {
  read_experts(s, "num_local_experts", config);
  require_gating(s, 1, 1);
  require_unscaled(s);
  const auto window = s.find("attention.sliding_window", 0);
  config["sliding_window"] = window.value_or(0) > 0 ? json(*window) : json(nullptr);
}

void write_mixtral(const ConfigView& config, GgufKeys& keys) {
  write_experts(config, keys);
  if (config.find("sliding_window")) write_mistral(config, keys);
}

void read_qwen3_moe(const GgufSource& s, json& config) {
  read_qwen(s, config);
  read_experts(s, "num_experts", config);
  require_gating(s, 1, 1);
  require_unscaled(s);
  config["moe_intermediate_size"] = s.require("expert_feed_forward_length");
  json dense = json::array();
  for (int64_t i = 0; i < s.layers; i++)
    if (s.has_tensor("blk." + std::to_string(i) + ".ffn_gate.weight")) dense.push_back(i);
  config["mlp_only_layers"] = std::move(dense);
}

void write_qwen3_moe(const ConfigView& config, GgufKeys& keys) {
  write_qwen(config, keys);
  write_experts(config, keys);
  keys.flag("expert_weights_norm", config.flag("norm_topk_prob", false));
}

void read_gpt_oss(const GgufSource& s, json& config) {
  read_experts(s, "num_local_experts", config);
  require_gating(s, 3, 3);
  require_unscaled(s);
  config["intermediate_size"] = s.require("expert_feed_forward_length");
  read_layer_types(s, gpt_oss_period, config);
}

void write_gpt_oss(const ConfigView& config, GgufKeys& keys) {
  write_experts(config, keys);
  keys.integer("expert_feed_forward_length", config.integer("intermediate_size"));
  write_layer_types(config, gpt_oss_period, keys);
  const double limit = config.find_number("swiglu_limit").value_or(7.0);
  check(limit == 7.0, "config.json: GGUF files of gpt-oss imply swiglu_limit 7, not", limit);
}

void read_glm4_moe(const GgufSource& s, json& config) {
  read_qkv_bias(s, config);
  config["use_qk_norm"] = s.any_layer_has("attn_q_norm.weight");
  read_experts(s, "n_routed_experts", config);
  require_gating(s, 2, 2);
  config["moe_intermediate_size"] = s.require("expert_feed_forward_length");
}

void write_glm4_moe(const ConfigView& config, GgufKeys& keys) {
  write_experts(config, keys);
  keys.integer("expert_gating_func", 2);
}

void read_llama4(const GgufSource& s, json& config) {
  const int64_t experts = read_experts(s, "num_local_experts", config);
  require_unscaled(s);
  config["intermediate_size_mlp"] = s.require_same_in_all_layers("feed_forward_length");
  config["intermediate_size"] = s.require("expert_feed_forward_length");
  const int64_t step = s.require("interleave_moe_layer_step", 1, GgufSource::most_layers);
  config["use_qk_norm"] = experts != llama4_experts_without_norm;
  // A window of 0 means rotary embeddings and no chunks in all layers.
  const int64_t chunk = s.find("attention.sliding_window", 0).value_or(llama4_chunk);
  const int64_t period = s.find("attention.sliding_window_pattern", 1, GgufSource::most_layers).value_or(llama4_period);
  json types = json::array(), rope_layers = json::array(), moe_layers = json::array();
  for (int64_t i = 0; i < s.layers; ++i) {
    const bool local = chunk > 0 && (i + 1) % period != 0;
    types.push_back(local ? "chunked_attention" : "full_attention");
    rope_layers.push_back(local || chunk == 0 ? 1 : 0);
    if ((i + 1) % step == 0) moe_layers.push_back(i);
  }
  config["layer_types"] = std::move(types);
  config["no_rope_layers"] = std::move(rope_layers);
  config["moe_layers"] = std::move(moe_layers);
  config["attention_chunk_size"] = chunk > 0 ? json(chunk) : json(nullptr);
  config["attn_temperature_tuning"] = chunk > 0;
}

void write_llama4(const ConfigView& config, GgufKeys& keys) {
  write_experts(config, keys);
  keys.integer("feed_forward_length", config.find_integer({"intermediate_size_mlp"}).value_or(config.integer("intermediate_size")));
  keys.integer("expert_feed_forward_length", config.integer("intermediate_size"));
  keys.integer("interleave_moe_layer_step", config.find_integer({"interleave_moe_layer_step"}, 1, 4096).value_or(1));
  const int64_t chunk = config.find_integer({"attention_chunk_size"}, 1).value_or(0);
  if (chunk != llama4_chunk) {
    keys.integer("attention.sliding_window", chunk);
    if (chunk) log_warning("GGUF readers may take the chunks of llama4 for 8192 tokens long, not " + std::to_string(chunk));
  }
  if (config.find_integer({"floor_scale"}).value_or(llama4_chunk) != llama4_chunk ||
      config.find_number("attn_scale").value_or(llama4_scale) != llama4_scale) {
    keys.integer("attention.temperature_length", config.find_integer({"floor_scale"}).value_or(llama4_chunk));
    keys.number("attention.temperature_scale", config.find_number("attn_scale").value_or(llama4_scale));
  }
  bool implied = true;
  if (const json* list = config.find("no_rope_layers"))
    for (size_t i = 0; list->is_array() && i < list->size(); ++i)
      implied &= (*list)[i] == (chunk > 0 && (static_cast<int64_t>(i) + 1) % llama4_period == 0 ? 0 : 1);
  check(implied, "config.json: GGUF files of llama4 imply that every fourth layer has no rotary embedding, which no_rope_layers denies");
  check(config.flag("use_qk_norm", true) == (config.experts() != llama4_experts_without_norm),
        "config.json: GGUF files of llama4 imply use_qk_norm from the number of experts, 128 being without", config.experts());
}

}  // namespace infernum::gguf_hooks
