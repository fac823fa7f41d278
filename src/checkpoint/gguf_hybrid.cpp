// Configurations of the hybrids of gated delta networks and attention, in both directions.
#include <nlohmann/json.hpp>

#include "checkpoint/config_view.h"
#include "checkpoint/gguf_hooks.h"
#include "checkpoint/gguf_keys.h"
#include "checkpoint/gguf_layer_types.h"
#include "checkpoint/gguf_moe.h"
#include "checkpoint/gguf_source.h"
#include "checkpoint/text_file.h"
#include "core/check.h"

namespace infernum::gguf_hooks {
namespace {

using nlohmann::json;

constexpr int64_t attention_interval = 4;

std::vector<bool> linear_layers(const GgufSource& s) {
  const auto count = static_cast<size_t>(s.layers);
  if (const auto flags = s.metadata.find_bools(s.key("attention.recurrent_layers"))) {
    check(flags->size() >= count, "gguf: one flag for each layer is needed", printable(s.key("attention.recurrent_layers")), flags->size(),
          "layers", s.layers, "in", s.metadata.path());
    return {flags->begin(), flags->begin() + static_cast<std::ptrdiff_t>(count)};
  }
  const int64_t interval = s.find("full_attention_interval", 1, GgufSource::most_layers).value_or(attention_interval);
  std::vector<bool> linear(count);
  for (size_t i = 0; i < count; ++i) linear[i] = (static_cast<int64_t>(i) + 1) % interval != 0;
  return linear;
}

}  // namespace

void read_hybrid(const GgufSource& s, json& config) {
  const int64_t key_dim = s.require("ssm.state_size"), key_heads = s.require("ssm.group_count"), heads = s.require("ssm.time_step_rank"),
                inner = s.require("ssm.inner_size");
  check(heads % key_heads == 0, "gguf: ssm.group_count divides ssm.time_step_rank", key_heads, heads, "in", s.metadata.path());
  check(inner % heads == 0, "gguf: ssm.time_step_rank divides ssm.inner_size", heads, inner, "in", s.metadata.path());
  config["linear_key_head_dim"] = key_dim;
  config["linear_num_key_heads"] = key_heads;
  config["linear_num_value_heads"] = heads;
  config["linear_value_head_dim"] = inner / heads;
  config["linear_conv_kernel_dim"] = s.require("ssm.conv_kernel", 1, 64);
  json types = json::array();
  for (const bool linear : linear_layers(s)) types.push_back(linear ? "linear_attention" : "full_attention");
  config["layer_types"] = std::move(types);
  read_qkv_bias(s, config);
}

void write_hybrid(const ConfigView& config, GgufKeys& keys) {
  const int64_t heads = config.integer("linear_num_value_heads"), key_heads = config.integer("linear_num_key_heads");
  check(heads % key_heads == 0, "config.json: linear_num_key_heads divides linear_num_value_heads", key_heads, heads);
  keys.integer("ssm.conv_kernel", config.integer("linear_conv_kernel_dim", 1, 64));
  keys.integer("ssm.state_size", config.integer("linear_key_head_dim"));
  keys.integer("ssm.group_count", key_heads);
  keys.integer("ssm.time_step_rank", heads);
  keys.integer("ssm.inner_size", heads * config.integer("linear_value_head_dim", 1, 65536));
  std::vector<bool> linear;
  for (const std::string& type : config.layer_types()) linear.push_back(type == "linear_attention");
  const int64_t given = config.find_integer({"full_attention_interval"}, 1, 4096).value_or(attention_interval);
  const int64_t interval = linear.empty() ? given : period_of(linear);
  if (interval > 0)
    keys.integer("full_attention_interval", interval);
  else
    keys.flags("attention.recurrent_layers", linear);
}

void read_tiled_hybrid(const GgufSource& s, json& config) {
  read_hybrid(s, config);
  if (config["linear_num_value_heads"] != config["linear_num_key_heads"]) config["linear_value_heads_tiled"] = true;
}

void write_tiled_hybrid(const ConfigView& config, GgufKeys& keys) {
  write_hybrid(config, keys);
  const json rope = config.rope();
  std::vector<int64_t> sections = {11, 11, 10};
  if (const json* given = ConfigView(rope).find("mrope_section")) {
    check(given->is_array() && given->size() <= 4, "config.json: mrope_section is a list of at most four numbers");
    sections.clear();
    for (const json& section : *given) {
      check(section.is_number_unsigned() && section.get<uint64_t>() < 65536, "config.json: an entry of mrope_section is a small number");
      sections.push_back(section.get<int64_t>());
    }
  }
  sections.resize(4);
  keys.integers("rope.dimension_sections", sections);
}

void read_hybrid_moe(const GgufSource& s, json& config) {
  read_hybrid(s, config);
  read_experts(s, "num_experts", config);
  require_gating(s, 1, 1);
  require_unscaled(s);
  config["moe_intermediate_size"] = s.require("expert_feed_forward_length");
  const StoredTensor* shared = nullptr;
  for (int64_t i = 0; i < s.layers && !shared; ++i) shared = s.tensor("blk." + std::to_string(i) + ".ffn_gate_shexp.weight");
  const auto width = s.find("expert_shared_feed_forward_length");
  config["shared_expert_intermediate_size"] = width                                 ? json(*width)
                                              : shared && shared->shape.rank() == 2 ? json(shared->shape[0])
                                                                                    : config["moe_intermediate_size"];
}

void write_hybrid_moe(const ConfigView& config, GgufKeys& keys) {
  write_hybrid(config, keys);
  write_experts(config, keys);
  if (const auto width = config.find_integer({"shared_expert_intermediate_size"}))
    keys.integer("expert_shared_feed_forward_length", *width);
  check(config.flag("norm_topk_prob", true), "config.json: GGUF files of this architecture imply norm_topk_prob");
}

void read_tiled_hybrid_moe(const GgufSource& s, json& config) {
  read_hybrid_moe(s, config);
  if (config["linear_num_value_heads"] != config["linear_num_key_heads"]) config["linear_value_heads_tiled"] = true;
}

void write_tiled_hybrid_moe(const ConfigView& config, GgufKeys& keys) {
  write_tiled_hybrid(config, keys);
  write_hybrid_moe(config, keys);
}

}  // namespace infernum::gguf_hooks
