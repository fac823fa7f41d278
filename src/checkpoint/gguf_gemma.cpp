// Configurations of the Gemma families, in both directions.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "checkpoint/config_view.h"
#include "checkpoint/gguf_hooks.h"
#include "checkpoint/gguf_keys.h"
#include "checkpoint/gguf_layer_types.h"
#include "checkpoint/gguf_source.h"
#include "checkpoint/text_file.h"
#include "core/check.h"
#include "core/log.h"

namespace infernum::gguf_hooks {
namespace {

using nlohmann::json;

constexpr int64_t gemma2_period = 2, gemma3_period = 6;
constexpr int64_t gemma2_largest = 46, gemma3_largest = 62;  // layers of the two 27B models

/// The models of this many layers scale by hidden_size / num_attention_heads, all others by head_dim; metadata does not say so.
double implied_scalar(int64_t layers, int64_t largest, int64_t hidden, int64_t heads, int64_t head_dim) {
  return static_cast<double>(layers == largest ? hidden / heads : head_dim);
}

void read_query_scalar(const GgufSource& s, int64_t largest, json& config) {
  if (const auto scale = s.find_number("attention.scale")) {
    check(*scale > 0, "gguf: metadata value is not positive", printable(s.key("attention.scale")), *scale, "in", s.metadata.path());
    const double scalar = 1 / (*scale * *scale);
    const bool whole = std::abs(scalar - std::round(scalar)) < 1e-5 * scalar;  // the scale was rounded to F32
    config["query_pre_attn_scalar"] = whole ? std::round(scalar) : scalar;
    return;
  }
  config["query_pre_attn_scalar"] = implied_scalar(s.layers, largest, config["hidden_size"].get<int64_t>(),
                                                   config["num_attention_heads"].get<int64_t>(), config["head_dim"].get<int64_t>());
}

void write_query_scalar(const ConfigView& config, int64_t largest, GgufKeys& keys) {
  const double scalar = config.find_number("query_pre_attn_scalar").value_or(256);
  check(scalar > 0, "config.json: query_pre_attn_scalar is positive", scalar);
  if (scalar ==
      implied_scalar(config.layers(), largest, config.integer("hidden_size"), config.integer("num_attention_heads"), config.head_dim()))
    return;
  keys.number("attention.scale", 1 / std::sqrt(scalar));
  log_warning("GGUF readers may not know attention.scale of this architecture, which query_pre_attn_scalar needs");
}

/// The share of ones among the divisors of the full layers: the pairs that rotate.
double proportional_share(const json& divisors) {
  int64_t rotating = 0;
  for (const json& divisor : divisors) rotating += divisor.get<double>() < 1e20;
  return static_cast<double>(rotating) / static_cast<double>(divisors.size());
}

void read_gemma4_layers(const GgufSource& s, json& config) {
  read_layer_types(s, gemma3_period, config);
  const json& types = config["layer_types"];
  const auto is_full = [&](int64_t i) { return types[static_cast<size_t>(i)].get<std::string>() == "full_attention"; };
  const auto heads = s.find_per_layer("attention.head_count_kv");
  const auto widths = s.find_per_layer("feed_forward_length");
  check(heads && widths, "gguf: metadata key is missing", printable(s.key(heads ? "feed_forward_length" : "attention.head_count_kv")), "in",
        s.metadata.path());
  const int64_t shared = config.value("num_kv_shared_layers", int64_t{0}), width = widths->front();
  check(shared < s.layers, "gguf: attention.shared_kv_layers is below block_count", shared, s.layers, "in", s.metadata.path());
  int64_t sliding_heads = 0, full_heads = 0;
  bool doubled = false, k_eq_v = false;
  for (int64_t i = 0; i < s.layers; ++i) {
    const auto at = static_cast<size_t>(i);
    int64_t& of_type = is_full(i) ? full_heads : sliding_heads;
    check(of_type == 0 || of_type == (*heads)[at], "gguf: layers of one type differ in attention.head_count_kv", of_type, (*heads)[at],
          "in", s.metadata.path());
    of_type = (*heads)[at];
    const bool wide = i >= s.layers - shared && (*widths)[at] == 2 * width;
    check(wide || (*widths)[at] == width, "gguf: only layers that share keys and values may be twice as wide", (*widths)[at], "layer", i,
          "in", s.metadata.path());
    doubled |= wide;
    const std::string blk = "blk." + std::to_string(i) + ".";
    k_eq_v |= is_full(i) && s.has_tensor(blk + "attn_k.weight") && !s.has_tensor(blk + "attn_v.weight");
  }
  config["intermediate_size"] = width;
  config["use_double_wide_mlp"] = doubled;
  config["attention_k_eq_v"] = k_eq_v;
  config["num_key_value_heads"] = sliding_heads ? sliding_heads : full_heads;
  if (sliding_heads && full_heads && sliding_heads != full_heads) config["num_global_key_value_heads"] = full_heads;
}

}  // namespace

void read_gemma2(const GgufSource& s, json& config) {
  read_layer_types(s, gemma2_period, config);
  read_query_scalar(s, gemma2_largest, config);
}

void write_gemma2(const ConfigView& config, GgufKeys& keys) {
  write_layer_types(config, gemma2_period, keys);
  write_query_scalar(config, gemma2_largest, keys);
}

void read_gemma3(const GgufSource& s, json& config) {
  read_layer_types(s, gemma3_period, config);
  read_nested_rope(s, 10000.0, config);
  read_query_scalar(s, gemma3_largest, config);
}

void write_gemma3(const ConfigView& config, GgufKeys& keys) {
  write_layer_types(config, gemma3_period, keys);
  write_nested_rope(config, keys);
  write_query_scalar(config, gemma3_largest, keys);
}

void read_gemma4(const GgufSource& s, json& config) {
  read_gemma4_layers(s, config);
  const int64_t full_dim = s.require("attention.key_length"), dim = s.require("attention.key_length_swa");
  for (const auto& [name, keys] : {std::pair("attention.value_length", full_dim), std::pair("attention.value_length_swa", dim)})
    check(s.find(name).value_or(keys) == keys, "gguf: keys and values of different length are not supported here", printable(s.key(name)),
          keys, "in", s.metadata.path());
  const int64_t rotary = s.find("rope.dimension_count_swa").value_or(dim);
  check(rotary <= dim && rotary % 2 == 0, "gguf: rope.dimension_count_swa is even and at most the head dimension", rotary, dim, "in",
        s.metadata.path());
  config["head_dim"] = dim;
  config["global_head_dim"] = full_dim;

  read_nested_rope(s, 10000.0, config);
  json &full = config["rope_parameters"]["full_attention"], &sliding = config["rope_parameters"]["sliding_attention"];
  full["rope_type"] = "proportional";
  full["partial_rotary_factor"] = full.contains("inv_freq_divisors") ? proportional_share(full["inv_freq_divisors"]) : 0.25;
  full.erase("inv_freq_divisors");
  if (rotary != dim) sliding["partial_rotary_factor"] = static_cast<double>(rotary) / static_cast<double>(dim);
  if (const StoredTensor* table = s.tensor("per_layer_token_embd.weight"); table && table->shape.rank() == 2)
    config["vocab_size_per_layer_input"] = table->shape[0];
  const int64_t experts = s.find("expert_count", 0, 65536).value_or(0);
  config["enable_moe_block"] = experts > 0;
  if (experts == 0) return;
  config["num_experts"] = experts;
  config["top_k_experts"] = s.require("expert_used_count", 1, experts);
  config["moe_intermediate_size"] = s.require("expert_feed_forward_length");
}

void write_gemma4(const ConfigView& config, GgufKeys& keys) {
  const int64_t layers = config.layers(), shared = config.find_integer({"num_kv_shared_layers"}, 0, layers - 1).value_or(0);
  const auto types = config.one_full_in_six();
  std::vector<bool> sliding;
  std::vector<int64_t> heads, widths;
  const int64_t full_dim = config.full_head_dim();
  for (int64_t i = 0; i < layers; ++i) {
    const bool full = types[static_cast<size_t>(i)] == "full_attention";
    sliding.push_back(!full);
    heads.push_back(
        config.of_layer("num_key_value_heads", "num_global_key_value_heads", full && config.flag("attention_k_eq_v", false), i));
    widths.push_back(config.integer("intermediate_size") * (config.flag("use_double_wide_mlp", false) && i >= layers - shared ? 2 : 1));
  }
  const auto set = [&](const char* key, const std::vector<int64_t>& values) {
    const bool same = std::all_of(values.begin(), values.end(), [&](int64_t v) { return v == values.front(); });
    same ? keys.integer(key, values.front()) : keys.integers(key, values);
  };
  set("attention.head_count_kv", heads);
  set("feed_forward_length", widths);
  keys.flags("attention.sliding_window_pattern", sliding);
  keys.integer("attention.sliding_window", config.find_integer({"sliding_window"}).value_or(512));
  keys.integer("attention.head_count", config.integer("num_attention_heads"));
  for (const char* key : {"attention.key_length", "attention.value_length", "rope.dimension_count"}) keys.integer(key, full_dim);
  for (const char* key : {"attention.key_length_swa", "attention.value_length_swa"}) keys.integer(key, config.head_dim());
  const json local = config.rope("sliding_attention");
  const double share = ConfigView(local).find_number("partial_rotary_factor").value_or(1.0);
  check(share > 0 && share <= 1, "config.json: partial_rotary_factor is above 0 and at most 1", share);
  keys.integer("rope.dimension_count_swa", static_cast<int64_t>(static_cast<double>(config.head_dim()) * share));
  write_nested_rope(config, keys);
  keys.integer("embedding_length_per_layer_input", config.find_integer({"hidden_size_per_layer_input"}, 0).value_or(0));
  keys.integer("attention.shared_kv_layers", shared);
  if (!config.flag("enable_moe_block", false)) return;
  keys.integer("expert_count", config.experts());
  keys.integer("expert_used_count", config.integer("top_k_experts", 1, config.experts()));
  keys.integer("expert_feed_forward_length", *config.find_integer({"moe_intermediate_size", "expert_intermediate_size"}));
}

}  // namespace infernum::gguf_hooks
