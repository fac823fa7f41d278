// Configurations of the dense decoders, in both directions.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "checkpoint/config_view.h"
#include "checkpoint/gguf_hooks.h"
#include "checkpoint/gguf_keys.h"
#include "checkpoint/gguf_layer_types.h"
#include "checkpoint/gguf_source.h"
#include "core/check.h"
#include "core/log.h"

namespace infernum::gguf_hooks {
namespace {

using nlohmann::json;

constexpr int64_t no_rope_interval = 4, cohere_period = 4, olmo_period = 4;

/// A window that most readers of the architecture know nothing of.
void warn_of_window(const char* arch, int64_t window) {
  log_warning(std::string("GGUF readers know no sliding window of ") + arch + ": beyond " + std::to_string(window) +
              " tokens they may differ from the original");
}

}  // namespace

void read_llama(const GgufSource& s, json& config) {
  config["attention_bias"] = s.any_layer_has("attn_q.bias");
  config["mlp_bias"] = s.any_layer_has("ffn_gate.bias");
}

void read_mistral(const GgufSource& s, json& config) { config["sliding_window"] = s.require("attention.sliding_window"); }

void write_mistral(const ConfigView& config, GgufKeys& keys) {
  // Absent means the class's own window.
  const int64_t window = config.json().contains("sliding_window") ? config.find_integer({"sliding_window"}, 0).value_or(0) : 4096;
  if (window == 0 || window >= config.integer("max_position_embeddings")) return;
  keys.integer("attention.sliding_window", window);
  warn_of_window("llama", window);
}

void read_qkv_bias(const GgufSource& s, json& config) { config["attention_bias"] = s.any_layer_has("attn_q.bias"); }

void read_qwen(const GgufSource& s, json& config) {
  s.require("attention.key_length");  // independent of embedding_length / head_count in this family
  read_qkv_bias(s, config);
}

void write_qwen(const ConfigView& config, GgufKeys&) {
  const int64_t window = config.find_integer({"sliding_window"}, 0).value_or(0);
  if (config.flag("use_sliding_window", false) && window > 0 && window < config.integer("max_position_embeddings"))
    warn_of_window("the Qwen families", window);
}

void read_ministral(const GgufSource& s, json& config) {
  const auto window = s.find("attention.sliding_window", 0);
  config["sliding_window"] = window.value_or(0) > 0 ? json(*window) : json(nullptr);
  if (const auto beta = s.find_number("attention.temperature_scale")) config["rope_parameters"]["llama_4_scaling_beta"] = shortest(*beta);
}

void write_ministral(const ConfigView& config, GgufKeys& keys) {
  const json rope = config.rope();
  if (const auto beta = ConfigView(rope).find_number("llama_4_scaling_beta")) keys.number("attention.temperature_scale", *beta);
  if (const auto window = config.find_integer({"sliding_window"}, 1)) {
    keys.integer("attention.sliding_window", *window);
    warn_of_window("mistral3", *window);
  }
}

void read_olmo3(const GgufSource& s, json& config) {
  read_layer_types(s, olmo_period, config);
  read_nested_rope(s, 0, config);
}

void write_olmo3(const ConfigView& config, GgufKeys& keys) {
  write_layer_types(config, olmo_period, keys);
  write_nested_rope(config, keys);
}

void read_cohere(const GgufSource& s, json& config) { read_layer_types(s, cohere_period, config); }
void write_cohere(const ConfigView& config, GgufKeys& keys) { write_layer_types(config, cohere_period, keys); }

void read_phi(const GgufSource& s, json& config) {
  const auto window = s.find("attention.sliding_window", 0);
  config["sliding_window"] = window.value_or(0) > 0 ? json(*window) : json(nullptr);
  const auto original = s.find("rope.scaling.original_context_length");
  config["original_max_position_embeddings"] = original ? json(*original) : config["max_position_embeddings"];
}

void write_phi(const ConfigView& config, GgufKeys& keys) {
  keys.integer("attention.sliding_window", config.find_integer({"sliding_window"}, 0).value_or(0));
  if (const auto original = config.find_integer({"original_max_position_embeddings"}))
    keys.integer("rope.scaling.original_context_length", *original);
}

void read_smollm(const GgufSource& s, json& config) {
  read_llama(s, config);
  json rope_layers = json::array();
  for (int64_t i = 0; i < s.layers; ++i) rope_layers.push_back((i + 1) % no_rope_interval == 0 ? 0 : 1);
  config["no_rope_layers"] = std::move(rope_layers);
}

void write_smollm(const ConfigView& config, GgufKeys&) {
  bool implied = config.find_integer({"no_rope_layer_interval"}).value_or(no_rope_interval) == no_rope_interval;
  if (const json* list = config.find("no_rope_layers")) {
    implied = list->is_array();
    for (size_t i = 0; implied && i < list->size(); ++i) implied = (*list)[i] == ((i + 1) % no_rope_interval == 0 ? 0 : 1);
  }
  check(implied, "config.json: GGUF files of smollm3 imply that every fourth layer has no rotary embedding, which no_rope_layers denies");
  const int64_t window = config.find_integer({"sliding_window"}, 0).value_or(0);
  if (config.flag("use_sliding_window", false) && window > 0) warn_of_window("smollm3", window);
}

void read_ernie(const GgufSource& s, json& config) { config["use_bias"] = s.any_layer_has("attn_q.bias"); }

void read_seed(const GgufSource& s, json& config) {
  read_llama(s, config);
  config["attention_out_bias"] = s.any_layer_has("attn_output.bias");
}

void write_hunyuan(const ConfigView& config, GgufKeys& keys) {
  // Scaling by alpha is a larger base (NTK-aware scaling).
  const json parameters = config.rope();
  const ConfigView rope(parameters);
  const auto alpha = rope.find_number("alpha");
  if (rope.text("rope_type") != "dynamic" || !alpha) return;
  const auto dim = static_cast<double>(config.head_dim());
  check(*alpha > 0 && dim > 2, "config.json: alpha is positive", *alpha, "head_dim", dim);
  keys.number("rope.freq_base", rope.number("rope_theta") * std::pow(*alpha, dim / (dim - 2)));
}

}  // namespace infernum::gguf_hooks
